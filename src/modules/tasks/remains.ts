import type { Log } from '../../platform/log.js';
import type { TasksOfRepo } from '../repos/index.js';
import type { Vcs } from '../vcs/index.js';
import { progressOf } from './states.js';
import { lockGraphs } from './store.js';
import { countStates } from './store-list.js';
import { findVcsOfRepo, forgetRemoved } from './store-vcs.js';
import type { Work } from './work.js';

export interface RemainsDeps {
  readonly log: Log;
  readonly vcs: Pick<Vcs, 'discard'>;
}

/** What unregistering a repository has to do with its tasks. */
export function createRemains({ log, vcs }: RemainsDeps, { retry }: Pick<Work, 'retry'>): TasksOfRepo {
  return {
    async lock(tx, repoId) {
      await lockGraphs(tx, [repoId]);
    },
    async left(tx, repoId) {
      const [counts, deleted] = await Promise.all([countStates(tx, repoId), findVcsOfRepo(tx, repoId)]);
      return { count: progressOf(counts).total, deleted };
    },
    async discard(repo, taskIds) {
      for (const taskId of taskIds) {
        // A file that cannot be removed must not keep anybody from unregistering the repository.
        await vcs.discard({ repo, taskId }).catch((error: unknown) => {
          log.warn('work_tree_not_removed', { task_id: taskId, repo_id: repo.id, error });
        });
      }
    },
    forget: forgetRemoved,
    clearAway: retry,
  };
}
