import { AppError } from '../../errors.js';
import { idCursor } from '../../platform/cursor.js';
import type { Db } from '../../platform/db/db.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import { isGiven } from '../../platform/text.js';
import { getRepo } from '../repos/index.js';
import type { Diff, Vcs } from '../vcs/index.js';
import { findNodes } from './store.js';
import { findVcsRows, listVcs, type TaskVcs, vcsOf } from './store-vcs.js';
import { isTaskId, kinds, noSuchRepo, prefixOf, taskNotFound } from './tasks.js';

export interface WorktreesDeps {
  readonly db: Db;
  readonly vcs: Pick<Vcs, 'diff'>;
}

type Optional<T> = T | null | undefined;

const paging = createPaging(idCursor(...kinds.map(prefixOf)), (vcs: TaskVcs) => vcs.taskId);

export interface VcsListInput extends PageInput {
  readonly repoId?: Optional<string>;
}

export interface TaskDiff extends Diff {
  readonly base: string;
  /** Undefined: what is in the work tree. */
  readonly head: string | undefined;
}

/** What there is of tasks in git, read. Everything rejects with AppErrors that name the field at fault. */
export interface Worktrees {
  /** Undefined when the task was never started. */
  get(id: string): Promise<TaskVcs | undefined>;
  list(input: VcsListInput): Promise<{ readonly vcs: readonly TaskVcs[]; readonly nextCursor: string | undefined }>;
  /** Rejects with `not_found` when there is nothing to be compared. */
  diff(id: string, signal: AbortSignal): Promise<TaskDiff>;
}

export function createWorktrees({ db, vcs }: WorktreesDeps): Worktrees {
  async function get(id: string): Promise<TaskVcs | undefined> {
    if (!isTaskId(id) || !(await findNodes(db, [id])).has(id)) throw taskNotFound(id);
    return vcsOf((await findVcsRows(db, [id])).get(id));
  }

  return {
    get,
    async list(input) {
      const page = paging(input);
      const { repoId } = input;
      const repo = isGiven(repoId) ? repoId : undefined;
      if (repo !== undefined && (await getRepo(db, repo)) === undefined) throw noSuchRepo(repo);
      const { rows: made, nextCursor } = page.of(await listVcs(db, repo, page.place, page.count));
      return { vcs: made, nextCursor };
    },
    async diff(id, signal) {
      const made = await get(id);
      if (made === undefined) throw nothingToCompare(id, 'was never started');
      const { repoId, baseCommit: base, headCommit: head, archivedAt } = made;
      if (head === undefined && archivedAt !== undefined)
        throw nothingToCompare(id, 'is archived, and was never submitted');
      const repo = await getRepo(db, repoId);
      if (repo === undefined) throw noSuchRepo(repoId);
      const diff = await vcs.diff({ repo, taskId: id, baseCommit: base, headCommit: head, signal });
      return { ...diff, base, head };
    },
  };
}

function nothingToCompare(id: string, why: string): AppError {
  return new AppError('not_found', `${id} ${why}, so that there is nothing to be compared.`);
}
