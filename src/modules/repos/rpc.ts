import { RepoService } from '../../../gen/muster/v1/repos_pb.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { PageInput } from '../../platform/paging.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { originOf } from '../events/index.js';
import type { RegisterInput, Repo, UpdateInput } from './repos.js';
import type { Repos } from './service.js';

/** RepoService on the wire. */
export function createRepoRpc(repos: Repos): Service {
  return service(RepoService, {
    registerRepo: (input: RegisterInput, call: Call) =>
      keeping(
        call,
        (repo: Repo) => ({ repo }),
        (keep) => repos.register(input, originOf(call), keep),
      ),
    getRepo: async ({ id }: { id: string }) => ({ repo: await repos.get(id) }),
    getRepoByPath: async ({ path }: { path: string }) => ({ repo: await repos.byPath(path) }),
    listRepos: (input: PageInput) => repos.list(input),
    updateRepo: (input: UpdateInput, call: Call) =>
      keeping(
        call,
        (repo: Repo) => ({ repo }),
        (keep) => repos.update(input, originOf(call), keep),
      ),
    unregisterRepo: ({ id }: { id: string }, call: Call) =>
      keeping(
        call,
        () => ({ ok: true }),
        (keep) => repos.unregister(id, originOf(call), keep),
      ),
  });
}
