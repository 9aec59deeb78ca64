export type { Repo } from './repos.js';
export { createRepoRpc } from './rpc.js';
export type { Left, TasksOfRepo } from './unregister.js';
export { createRepos, getRepo, lockRepo, type Repos, type ReposDeps } from './service.js';
