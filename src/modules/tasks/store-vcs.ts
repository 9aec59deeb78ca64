import type { Queries, Statement, Tx } from '../../platform/db/db.js';

/** The SQL of task_vcs; migrations/0009-task-vcs.ts tells what its states mean. */

export type VcsState = 'preparing' | 'ready' | 'committing' | 'archiving' | 'archived' | 'removing';

/** The branch and work tree of a task, once they have been made. */
export interface TaskVcs {
  readonly taskId: string;
  readonly repoId: string;
  readonly vcsType: 'Git';
  readonly refName: string;
  /** The branch: what is changed. */
  readonly changeId: string;
  readonly baseCommit: string;
  readonly startCommit: string;
  readonly headCommit: string | undefined;
  readonly worktreePath: string | undefined;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly archivedAt: Date | undefined;
}

export interface VcsRow {
  readonly task_id: string;
  readonly repo_id: string;
  readonly state: VcsState;
  readonly holder: string | null;
  readonly held_until: Date | null;
  readonly ref_name: string;
  readonly base_commit: string | null;
  readonly start_commit: string | null;
  readonly head_commit: string | null;
  readonly worktree_path: string | null;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly archived_at: Date | null;
}

const columns = `v.task_id, v.repo_id, v.state, v.holder, v.held_until, v.ref_name, v.base_commit, v.start_commit, v.head_commit,
  v.worktree_path, v.created_at, v.updated_at, v.archived_at`;

/** Undefined as long as nothing has been made. */
export function vcsOf(row: VcsRow | undefined): TaskVcs | undefined {
  if (row === undefined || row.base_commit === null || row.start_commit === null) return undefined;
  return {
    taskId: row.task_id,
    repoId: row.repo_id,
    vcsType: 'Git',
    refName: row.ref_name,
    changeId: row.ref_name,
    baseCommit: row.base_commit,
    startCommit: row.start_commit,
    headCommit: row.head_commit ?? undefined,
    worktreePath: row.worktree_path ?? undefined,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
    archivedAt: row.archived_at ?? undefined,
  };
}

const find: Statement = {
  name: 'task_vcs_find',
  text: `SELECT ${columns} FROM task_vcs v WHERE v.task_id = ANY ($1)`,
  changesNothing: true,
};

export async function findVcsRows(on: Queries, taskIds: readonly string[]): Promise<ReadonlyMap<string, VcsRow>> {
  const rows = await on.query<VcsRow>(find, [taskIds]);
  return new Map(rows.map((row) => [row.task_id, row]));
}

/** Who has a row in hands. */
export interface Hold {
  readonly taskId: string;
  readonly holder: string;
}

const begin: Statement = {
  name: 'task_vcs_begin',
  text: `INSERT INTO task_vcs (task_id, repo_id, state, holder, held_until, ref_name, created_at, updated_at)
    VALUES ($1, $2, 'preparing', $3, $4, $5, $6, $6)`,
};

/** Says that branch and work tree are about to be made for the first time. */
export async function insertHeld(
  tx: Tx,
  { taskId, holder, until }: Hold & { readonly until: Date },
  made: { readonly repoId: string; readonly refName: string },
  now: Date,
): Promise<void> {
  await tx.query(begin, [taskId, made.repoId, holder, until.toISOString(), made.refName, now.toISOString()]);
}

const rest: Statement = {
  name: 'task_vcs_rest',
  text: `INSERT INTO task_vcs (task_id, repo_id, state, holder, held_until, ref_name, created_at, updated_at)
    VALUES ($1, $2, 'removing', $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING RETURNING task_id`,
};

/** Says that what git may have of a task is about to be removed. Answers false when somebody has it in hands. */
export async function insertRest(
  tx: Tx,
  { taskId, holder, until }: Hold & { readonly until: Date },
  made: { readonly repoId: string; readonly refName: string },
  now: Date,
): Promise<boolean> {
  const values = [taskId, made.repoId, holder, until.toISOString(), made.refName, now.toISOString()];
  return (await tx.query(rest, values)).length > 0;
}

const hold: Statement = {
  name: 'task_vcs_hold',
  text: `UPDATE task_vcs SET state = $2, holder = $3, held_until = $4 WHERE task_id = $1`,
};

/** Says what is about to be done with what is ready. */
export async function holdReady(
  tx: Tx,
  { taskId, holder, until }: Hold & { readonly until: Date },
  state: VcsState,
): Promise<void> {
  await tx.query(hold, [taskId, state, holder, until.toISOString()]);
}

const prepared: Statement = {
  name: 'task_vcs_prepared',
  text: `UPDATE task_vcs v SET state = 'ready', holder = NULL, held_until = NULL, base_commit = coalesce(base_commit, $3),
      start_commit = coalesce(start_commit, $4), worktree_path = $5, updated_at = $6
    WHERE task_id = $1 AND holder = $2 AND state = 'preparing' RETURNING ${columns}`,
};

/** Answers the row, if it was still in these hands; undefined otherwise. */
export async function settlePrepared(
  tx: Tx,
  { taskId, holder }: Hold,
  made: { readonly baseCommit: string; readonly headCommit: string; readonly worktreePath: string },
  now: Date,
): Promise<VcsRow | undefined> {
  const values = [taskId, holder, made.baseCommit, made.headCommit, made.worktreePath, now.toISOString()];
  const [row] = await tx.query<VcsRow>(prepared, values);
  return row;
}

const committed: Statement = {
  name: 'task_vcs_committed',
  text: `UPDATE task_vcs v SET state = 'ready', holder = NULL, held_until = NULL, head_commit = $3, updated_at = $4
    WHERE task_id = $1 AND holder = $2 AND state = 'committing' RETURNING ${columns}`,
};

/** The same. */
export async function settleCommitted(
  tx: Tx,
  { taskId, holder }: Hold,
  headCommit: string,
  now: Date,
): Promise<VcsRow | undefined> {
  const [row] = await tx.query<VcsRow>(committed, [taskId, holder, headCommit, now.toISOString()]);
  return row;
}

const movedHead: Statement = {
  name: 'task_vcs_head',
  text: `UPDATE task_vcs v SET head_commit = $2, updated_at = $3 WHERE task_id = $1 RETURNING ${columns}`,
};

/** Says where a branch is that others have moved. */
export async function saveHead(tx: Tx, taskId: string, headCommit: string, now: Date): Promise<VcsRow | undefined> {
  const [row] = await tx.query<VcsRow>(movedHead, [taskId, headCommit, now.toISOString()]);
  return row;
}

const archived: Statement = {
  name: 'task_vcs_archived',
  text: `UPDATE task_vcs SET state = 'archived', holder = NULL, held_until = NULL
    WHERE task_id = $1 AND holder = $2 AND state = 'archiving'`,
};

export async function settleArchived(on: Queries, { taskId, holder }: Hold): Promise<void> {
  await on.query(archived, [taskId, holder]);
}

const back: Statement = {
  name: 'task_vcs_back',
  text: `UPDATE task_vcs SET state = 'ready', holder = NULL, held_until = NULL
    WHERE task_id = $1 AND holder = $2 AND state <> 'removing' AND base_commit IS NOT NULL`,
};

/** As it was before. */
export async function settleBack(on: Queries, { taskId, holder }: Hold): Promise<void> {
  await on.query(back, [taskId, holder]);
}

const gone: Statement = { name: 'task_vcs_gone', text: 'DELETE FROM task_vcs WHERE task_id = $1 AND holder = $2' };

export async function settleGone(on: Queries, { taskId, holder }: Hold): Promise<void> {
  await on.query(gone, [taskId, holder]);
}

const remove: Statement = {
  name: 'task_vcs_remove',
  text: `WITH forgotten AS (DELETE FROM task_vcs WHERE task_id = ANY ($1) AND state = 'archived')
    UPDATE task_vcs SET state = 'removing', held_until = coalesce(held_until, $2)
    WHERE task_id = ANY ($1) AND state <> 'archived'`,
};

/** Of tasks that are deleted: what git has of them is to go. Whoever has one in hands does so, others are anybody's. */
export async function removeVcs(tx: Tx, taskIds: readonly string[], now: Date): Promise<void> {
  await tx.query(remove, [taskIds, now.toISOString()]);
}

const ofRepo: Statement = {
  name: 'task_vcs_of_repo',
  text: 'SELECT task_id FROM task_vcs WHERE repo_id = $1 ORDER BY task_id',
};

/** The tasks of a repository of which git has something, or had; in one without tasks, those are deleted ones that have left something. */
export async function findVcsOfRepo(on: Queries, repoId: string): Promise<readonly string[]> {
  return (await on.query<{ task_id: string }>(ofRepo, [repoId])).map(({ task_id }) => task_id);
}

const forget: Statement = {
  name: 'task_vcs_forget',
  text: `DELETE FROM task_vcs WHERE task_id = ANY ($1) AND state = 'removing'`,
};

/** Nothing is left of these deleted tasks, whoever has them in hands. */
export async function forgetRemoved(tx: Tx, taskIds: readonly string[]): Promise<void> {
  if (taskIds.length > 0) await tx.query(forget, [taskIds]);
}

const takeOver: Statement = {
  name: 'task_vcs_take_over',
  text: `UPDATE task_vcs v SET holder = $1, held_until = $3 WHERE v.task_id = (
      SELECT f.task_id FROM task_vcs f WHERE f.held_until <= $2 AND f.task_id <> ALL ($4) ORDER BY f.held_until LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING ${columns}`,
};

/** A row whose holder has not been heard of, of none of the tasks in `except`; it is now in these hands. */
export async function takeOverOne(
  on: Queries,
  { holder, until, except }: Pick<Hold, 'holder'> & { readonly until: Date; readonly except: readonly string[] },
  now: Date,
): Promise<VcsRow | undefined> {
  const [row] = await on.query<VcsRow>(takeOver, [holder, now.toISOString(), until.toISOString(), except]);
  return row;
}

const renew: Statement = {
  name: 'task_vcs_renew',
  text: 'UPDATE task_vcs SET held_until = $3 WHERE task_id = $1 AND holder = $2 RETURNING task_id',
};

export async function renewHold(on: Queries, { taskId, holder }: Hold, until: Date): Promise<boolean> {
  return (await on.query(renew, [taskId, holder, until.toISOString()])).length > 0;
}

const starting: Statement = { name: 'tasks_starting', text: 'UPDATE tasks SET starting = $2 WHERE id = $1' };

/** Keeps a Pending task from being started twice. */
export async function setStarting(tx: Tx, id: string, is: boolean): Promise<void> {
  await tx.query(starting, [id, is]);
}

const mark: Statement = {
  name: 'task_vcs_mark_archived',
  text: `WITH marked AS (UPDATE tasks SET archived_at = $2 WHERE id = $1)
    UPDATE task_vcs SET archived_at = $2, updated_at = $2, worktree_path = NULL WHERE task_id = $1`,
};

/** Says of a task and of what git has of it that they are archived. */
export async function markArchived(tx: Tx, taskId: string, now: Date): Promise<void> {
  await tx.query(mark, [taskId, now.toISOString()]);
}

const list: Statement = {
  name: 'task_vcs_list',
  text: `SELECT ${columns} FROM task_vcs v
    WHERE v.base_commit IS NOT NULL AND v.state <> 'removing' AND ($2::text IS NULL OR v.task_id < $2) ORDER BY v.task_id DESC LIMIT $1`,
};
const listOfRepo: Statement = {
  name: 'task_vcs_list_of_repo',
  text: `SELECT ${columns} FROM task_vcs v
    WHERE v.repo_id = $3 AND v.base_commit IS NOT NULL AND v.state <> 'removing' AND ($2::text IS NULL OR v.task_id < $2)
    ORDER BY v.task_id DESC LIMIT $1`,
};

/** Of tasks that have been started, by their ids downwards from `before`. */
export async function listVcs(
  on: Queries,
  repoId: string | undefined,
  before: string | undefined,
  limit: number,
): Promise<readonly TaskVcs[]> {
  const values = [limit, before ?? null];
  const rows =
    repoId === undefined
      ? await on.query<VcsRow>(list, values)
      : await on.query<VcsRow>(listOfRepo, [...values, repoId]);
  return rows.map(vcsOf).filter((vcs) => vcs !== undefined);
}
