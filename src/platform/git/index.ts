export { type Git, createGit, GitFailure, type GitOptions, type GitOutput, type GitRun } from './run.js';
export { inspectRepository, type Inspection, type Repository } from './inspect.js';
export { isObjectId, isRefName } from './ref-name.js';
export { listBranches, readRef } from './refs.js';
