import { codeOf } from '../../errors.js';
import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { Repo } from './repos.js';

/** The SQL of repositories; migrations/0006-repos.ts tells what the table is like. */

interface RepoRow {
  readonly id: string;
  readonly path: string;
  readonly name: string;
  readonly vcs_type: 'Git';
  readonly default_branch: string;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const columns = 'r.id, r.path, r.name, r.vcs_type, r.default_branch, r.created_at, r.updated_at';

function repoOf(row: RepoRow): Repo {
  return {
    id: row.id,
    path: row.path,
    name: row.name,
    vcsType: row.vcs_type,
    defaultBranch: row.default_branch,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

const insert: Statement = {
  name: 'repos_insert',
  text: `INSERT INTO repos (id, path, name, vcs_type, default_branch, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT DO NOTHING RETURNING id`,
};

/** Answers whether it could be added: not when the path is registered already. */
export async function insertRepo(tx: Tx, repo: Repo): Promise<boolean> {
  const { id, path, name, vcsType, defaultBranch, createdAt } = repo;
  const rows = await tx.query(insert, [id, path, name, vcsType, defaultBranch, createdAt.toISOString()]);
  return rows.length > 0;
}

const byId: Statement = { name: 'repos_by_id', text: `SELECT ${columns} FROM repos r WHERE r.id = $1` };

export async function findRepo(on: Queries, id: string): Promise<Repo | undefined> {
  const [row] = await on.query<RepoRow>(byId, [id]);
  return row && repoOf(row);
}

const held: Statement = {
  name: 'repos_hold',
  text: `SELECT ${columns} FROM repos r WHERE r.id = $1 FOR KEY SHARE`,
};

/** The same, and keeps it from being removed until the transaction ends. Does not wait for others who hold it. */
export async function holdRepo(tx: Tx, id: string): Promise<Repo | undefined> {
  const [row] = await tx.query<RepoRow>(held, [id]);
  return row && repoOf(row);
}

const ofOne: Statement = {
  name: 'repos_lock',
  text: `SELECT ${columns} FROM repos r WHERE r.id = $1 FOR NO KEY UPDATE`,
};

/** The same, and keeps others from changing it, too. */
export async function lockForChange(tx: Tx, id: string): Promise<Repo | undefined> {
  const [row] = await tx.query<RepoRow>(ofOne, [id]);
  return row && repoOf(row);
}

const update: Statement = {
  name: 'repos_update',
  text: 'UPDATE repos SET default_branch = $2, updated_at = $3 WHERE id = $1',
};

export async function updateRepo(tx: Tx, { id, defaultBranch, updatedAt }: Repo): Promise<void> {
  await tx.query(update, [id, defaultBranch, updatedAt.toISOString()]);
}

const forRemoval: Statement = { name: 'repos_lock_all', text: 'SELECT r.id FROM repos r WHERE r.id = $1 FOR UPDATE' };

/** Waits for whoever holds it, and keeps everybody else from it. Answers whether there is such a repository. */
export async function lockForRemoval(tx: Tx, id: string): Promise<boolean> {
  return (await tx.query(forRemoval, [id])).length > 0;
}

const byPath: Statement = { name: 'repos_by_path', text: `SELECT ${columns} FROM repos r WHERE r.path = $1` };

export async function findRepoByPath(on: Queries, path: string): Promise<Repo | undefined> {
  const [row] = await on.query<RepoRow>(byPath, [path]);
  return row && repoOf(row);
}

const list: Statement = {
  name: 'repos_list',
  text: `SELECT ${columns} FROM repos r WHERE $2::text IS NULL OR r.id < $2 ORDER BY r.id DESC LIMIT $1`,
};

/** Newest first, those older than `before`. */
export async function listRepos(on: Queries, limit: number, before: string | undefined): Promise<Repo[]> {
  return (await on.query<RepoRow>(list, [limit, before ?? null])).map(repoOf);
}

const remove: Statement = { name: 'repos_remove', text: 'DELETE FROM repos WHERE id = $1' };

/** Rejects with an error that `isReferredTo` knows while something refers to it. */
export async function removeRepo(tx: Tx, id: string): Promise<void> {
  await tx.query(remove, [id]);
}

/** Whether an error says that rows keep a repository from being removed. */
export function isReferredTo(error: unknown): boolean {
  const code = codeOf(error);
  return code === '23503' || code === '23001';
}
