import { AppError, invalidField } from '../../errors.js';
import { idCursor } from '../../platform/cursor.js';
import type { Db } from '../../platform/db/db.js';
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

const pageEnd = idCursor(...kinds.map(prefixOf));

export interface VcsListInput {
  readonly repoId?: Optional<string>;
  readonly limit?: Optional<number>;
  readonly cursor?: Optional<string>;
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
    async list({ repoId, limit, cursor }) {
      const most = limit ?? 50;
      if (most < 1 || most > 500) throw invalidField('limit', 'must be between 1 and 500');
      const repo = isGiven(repoId) ? repoId : undefined;
      if (repo !== undefined && (await getRepo(db, repo)) === undefined) throw noSuchRepo(repo);
      const found = await listVcs(db, repo, pageEnd.decode(isGiven(cursor) ? cursor : undefined), most + 1);
      const page = found.slice(0, most);
      const last = found.length > most ? page.at(-1) : undefined;
      return { vcs: page, nextCursor: last && pageEnd.encode(last.taskId) };
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
