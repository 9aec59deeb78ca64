import type { Role } from '../../platform/auth/principal.js';
import type { Db, Statement, Tx } from '../../platform/db/db.js';
import type { Token } from './tokens.js';

/** The SQL of tokens; migrations/0003-access.ts tells what the tables are for. */

interface TokenRow {
  readonly id: string;
  readonly role: Role;
  readonly name: string;
  readonly capabilities: string[];
  readonly task_id: string | null;
  readonly created_by: string;
  readonly created_at: Date;
  readonly expires_at: Date | null;
  readonly revoked_at: Date | null;
}

const columns =
  't.id, t.role, t.name, t.capabilities, t.task_id, t.created_by, t.created_at, t.expires_at, t.revoked_at';

function tokenOf(row: TokenRow): Token {
  return {
    id: row.id,
    role: row.role,
    name: row.name,
    capabilities: row.capabilities,
    taskId: row.task_id ?? undefined,
    createdBy: row.created_by,
    createdAt: row.created_at,
    expiresAt: row.expires_at ?? undefined,
    revokedAt: row.revoked_at ?? undefined,
  };
}

const version: Statement = { name: 'tokens_version', text: 'SELECT version FROM tokens_state' };

/** How often tokens have changed; 0 as long as there has never been one. */
export async function readVersion(db: Pick<Db, 'query'>): Promise<number> {
  const [row] = await db.query<{ version: number }>(version, []);
  if (row === undefined) throw new Error('tokens_state is empty');
  return row.version;
}

const advance: Statement = {
  name: 'tokens_advance',
  text: 'UPDATE tokens_state SET version = version + 1 RETURNING version',
};

/** To be called in each transaction that changes tokens; one waits for the other. Answers the new version. */
export async function advanceVersion(tx: Tx): Promise<number> {
  const [row] = await tx.query<{ version: number }>(advance, []);
  if (row === undefined) throw new Error('tokens_state is empty');
  return row.version;
}

const insert: Statement = {
  name: 'tokens_insert',
  text: `INSERT INTO tokens (id, role, name, capabilities, task_id, hash, created_by, created_at, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
};

export async function insertToken(tx: Tx, token: Token, hash: Buffer): Promise<void> {
  await tx.query(insert, [
    token.id,
    token.role,
    token.name,
    token.capabilities,
    token.taskId ?? null,
    hash,
    token.createdBy,
    token.createdAt.toISOString(),
    token.expiresAt?.toISOString() ?? null,
  ]);
}

const byId: Statement = { name: 'tokens_by_id', text: `SELECT ${columns} FROM tokens t WHERE t.id = $1` };

export async function findToken(db: Pick<Db, 'query'>, id: string): Promise<Token | undefined> {
  const [row] = await db.query<TokenRow>(byId, [id]);
  return row && tokenOf(row);
}

const byHashes: Statement = {
  name: 'tokens_by_hashes',
  text: `SELECT s.version, t.hash, ${columns} FROM tokens_state s, tokens t WHERE t.hash = ANY ($1)`,
};

export interface Found {
  readonly token: Token;
  /** As of which version. */
  readonly version: number;
}

/** Those that there are, by their hash in base64. */
export async function findByHashes(db: Db, hashes: readonly Buffer[]): Promise<ReadonlyMap<string, Found>> {
  const rows = await db.query<TokenRow & { readonly version: number; readonly hash: Buffer }>(byHashes, [hashes]);
  return new Map(rows.map((row) => [row.hash.toString('base64'), { token: tokenOf(row), version: row.version }]));
}

const revokedIds: Statement = {
  name: 'tokens_revoked',
  text: 'SELECT id FROM tokens WHERE id = ANY ($1) AND revoked_at IS NOT NULL',
};

export async function findRevoked(db: Db, ids: readonly string[]): Promise<readonly string[]> {
  return (await db.query<{ id: string }>(revokedIds, [ids])).map(({ id }) => id);
}

const usable: Statement = {
  name: 'tokens_usable',
  text: `SELECT EXISTS (
      SELECT FROM tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
    ) AS usable`,
};

/** Whether anybody could show a token. */
export async function hasUsableToken(db: Db, now: Date): Promise<boolean> {
  const [row] = await db.query<{ usable: boolean }>(usable, [now.toISOString()]);
  return row?.usable === true;
}

const list: Statement = {
  name: 'tokens_list',
  text: `SELECT ${columns} FROM tokens t WHERE $2::text IS NULL OR t.id < $2 ORDER BY t.id DESC LIMIT $1`,
};

/** Newest first, those older than `before`. */
export async function listTokens(db: Db, limit: number, before: string | undefined): Promise<Token[]> {
  return (await db.query<TokenRow>(list, [limit, before ?? null])).map(tokenOf);
}

const revoke: Statement = {
  name: 'tokens_revoke',
  text: `UPDATE tokens t SET revoked_at = $2 WHERE t.id = $1 AND t.revoked_at IS NULL RETURNING ${columns}`,
};

/** Answers the token, or undefined when there was nothing to revoke. */
export async function revokeToken(tx: Tx, id: string, now: Date): Promise<Token | undefined> {
  const [row] = await tx.query<TokenRow>(revoke, [id, now.toISOString()]);
  return row && tokenOf(row);
}
