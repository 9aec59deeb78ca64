import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { Gate, GateSource, Lineage, Scope } from './gates.js';

/** The SQL of gates; migrations/0014-gates.ts tells what the tables are like. What they have found is in `store-runs.ts`. */

interface GateRow {
  readonly id: string;
  readonly repo_id: string;
  readonly task_id: string | null;
  readonly source: GateSource;
  readonly name: string;
  readonly command: string;
  readonly timeout_secs: number;
  readonly max_retries: number;
  readonly poll_interval_secs: number;
  readonly max_pending_secs: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const columns = `id, repo_id, task_id, source, name, command, timeout_secs, max_retries, poll_interval_secs, max_pending_secs,
  created_at, updated_at`;

function gateOf(row: GateRow): Gate {
  return {
    id: row.id,
    repoId: row.repo_id,
    scope: row.task_id === null ? { type: 'Repo', id: row.repo_id } : { type: 'Task', id: row.task_id },
    source: row.source,
    name: row.name,
    command: row.command,
    timeoutSecs: row.timeout_secs,
    maxRetries: row.max_retries,
    pollIntervalSecs: row.poll_interval_secs,
    maxPendingSecs: row.max_pending_secs,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

const insert: Statement = {
  name: 'gates_insert',
  text: `INSERT INTO gates (${columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)`,
};

/** Its scope is locked, and has none of that name from that source. */
export async function insertGate(tx: Tx, gate: Gate): Promise<void> {
  await tx.query(insert, [
    gate.id,
    gate.repoId,
    gate.scope.type === 'Task' ? gate.scope.id : null,
    gate.source,
    gate.name,
    gate.command,
    gate.timeoutSecs,
    gate.maxRetries,
    gate.pollIntervalSecs,
    gate.maxPendingSecs,
    gate.createdAt.toISOString(),
  ]);
}

const find: Statement = { name: 'gates_find', text: `SELECT ${columns} FROM gates WHERE id = $1` };

export async function findGate(on: Queries, id: string): Promise<Gate | undefined> {
  const [row] = await on.query<GateRow>(find, [id]);
  return row && gateOf(row);
}

const ofRepo: Statement = {
  name: 'gates_of_repo',
  text: `SELECT ${columns} FROM gates WHERE repo_id = $1 AND task_id IS NULL ORDER BY n`,
};
const ofTask: Statement = { name: 'gates_of_task', text: `SELECT ${columns} FROM gates WHERE task_id = $1 ORDER BY n` };

/** Those of a scope itself, in the order in which they were added. */
export async function listGates(on: Queries, { type, id }: Scope): Promise<readonly Gate[]> {
  return (await on.query<GateRow>(type === 'Repo' ? ofRepo : ofTask, [id])).map(gateOf);
}

const effective: Statement = {
  name: 'gates_effective',
  text: `SELECT ${columns} FROM gates WHERE repo_id = ANY ($1) AND (task_id IS NULL OR task_id = ANY ($2)) ORDER BY n`,
};

/** All that each has to pass, in the order of its lineage: those of its repository first. */
export async function findEffective(on: Queries, lineages: readonly Lineage[]): Promise<readonly (readonly Gate[])[]> {
  const repoIds = [...new Set(lineages.map(({ repoId }) => repoId))];
  const taskIds = [...new Set(lineages.flatMap((each) => each.taskIds))];
  const byScope = new Map<string, Gate[]>();
  for (const row of await on.query<GateRow>(effective, [repoIds, taskIds])) {
    const gate = gateOf(row);
    const gates = byScope.get(gate.scope.id) ?? [];
    gates.push(gate);
    byScope.set(gate.scope.id, gates);
  }
  return lineages.map((each) => [each.repoId, ...each.taskIds].flatMap((id) => byScope.get(id) ?? []));
}

const update: Statement = {
  name: 'gates_update',
  text: `UPDATE gates SET name = $2, command = $3, timeout_secs = $4, max_retries = $5, poll_interval_secs = $6,
    max_pending_secs = $7, updated_at = $8 WHERE id = $1`,
};

export async function updateGate(tx: Tx, gate: Gate): Promise<void> {
  const { id, name, command, timeoutSecs, maxRetries, pollIntervalSecs, maxPendingSecs, updatedAt } = gate;
  await tx.query(update, [
    ...[id, name, command, timeoutSecs, maxRetries, pollIntervalSecs, maxPendingSecs],
    updatedAt.toISOString(),
  ]);
}

const remove: Statement = { name: 'gates_delete', text: 'DELETE FROM gates WHERE id = ANY ($1)' };

export async function deleteGates(tx: Tx, ids: readonly string[]): Promise<void> {
  if (ids.length > 0) await tx.query(remove, [ids]);
}

const fileCommit: Statement = { name: 'gate_files_find', text: 'SELECT commit FROM gate_files WHERE repo_id = $1' };

/** The commit that a repository's gates of source File are of. */
export async function findFileCommit(on: Queries, repoId: string): Promise<string | undefined> {
  return (await on.query<{ commit: string }>(fileCommit, [repoId]))[0]?.commit;
}

const setCommit: Statement = {
  name: 'gate_files_set',
  text: 'INSERT INTO gate_files (repo_id, commit) VALUES ($1, $2) ON CONFLICT (repo_id) DO UPDATE SET commit = $2',
};

export async function saveFileCommit(tx: Tx, repoId: string, commit: string): Promise<void> {
  await tx.query(setCommit, [repoId, commit]);
}
