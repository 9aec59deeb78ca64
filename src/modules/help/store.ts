import type { Queries, Statement, Tx } from '../../platform/db/db.js';
import type { Answer, Category, FromStatus, HelpRequest, HelpStatus } from './help.js';

/** The SQL of requests for help; migrations/0013-help-requests.ts tells what the table is like. */

interface HelpRow {
  readonly id: string;
  readonly n: number;
  readonly task_id: string;
  readonly from_status: FromStatus;
  readonly category: Category;
  readonly reason: string;
  readonly suggested_options: readonly string[];
  readonly status: HelpStatus;
  readonly response: string | null;
  readonly chosen_option: number | null;
  readonly created_at: Date;
  readonly responded_at: Date | null;
  readonly resumed_at: Date | null;
  readonly deadline_at: Date | null;
  readonly default_response: string | null;
  readonly default_option: number | null;
  readonly answered_by_default: boolean;
}

const columns = `id, n, task_id, from_status, category, reason, suggested_options, status, response, chosen_option, created_at,
  responded_at, resumed_at, deadline_at, default_response, default_option, answered_by_default`;

function requestOf(row: HelpRow): HelpRequest {
  return {
    id: row.id,
    taskId: row.task_id,
    fromStatus: row.from_status,
    category: row.category,
    reason: row.reason,
    suggestedOptions: row.suggested_options,
    status: row.status,
    response: row.response ?? undefined,
    chosenOption: row.chosen_option ?? undefined,
    createdAt: row.created_at,
    respondedAt: row.responded_at ?? undefined,
    resumedAt: row.resumed_at ?? undefined,
    deadlineAt: row.deadline_at ?? undefined,
    defaultResponse: row.default_response ?? undefined,
    defaultOption: row.default_option ?? undefined,
    answeredByDefault: row.answered_by_default,
  };
}

const insert: Statement = {
  name: 'help_insert',
  text: `INSERT INTO help_requests (id, task_id, from_status, category, reason, suggested_options, status, created_at, deadline_at,
      default_response, default_option)
    VALUES ($1, $2, $3, $4, $5, $6, 'Pending', $7, $8, $9, $10) RETURNING ${columns}`,
};

export type NewHelpRequest = Pick<
  HelpRequest,
  | 'id'
  | 'taskId'
  | 'fromStatus'
  | 'category'
  | 'reason'
  | 'suggestedOptions'
  | 'createdAt'
  | 'deadlineAt'
  | 'defaultResponse'
  | 'defaultOption'
>;

/** Stores one that is Pending. The task has none open, and its repository is locked. */
export async function insertRequest(tx: Tx, request: NewHelpRequest): Promise<HelpRequest> {
  return one(
    await tx.query<HelpRow>(insert, [
      request.id,
      request.taskId,
      request.fromStatus,
      request.category,
      request.reason,
      request.suggestedOptions,
      request.createdAt.toISOString(),
      request.deadlineAt?.toISOString() ?? null,
      request.defaultResponse ?? null,
      request.defaultOption ?? null,
    ]),
  );
}

const byId: Statement = { name: 'help_by_id', text: `SELECT ${columns} FROM help_requests WHERE id = $1` };

export async function findRequest(on: Queries, id: string): Promise<HelpRequest | undefined> {
  const [row] = await on.query<HelpRow>(byId, [id]);
  return row && requestOf(row);
}

const open: Statement = {
  name: 'help_open',
  text: `SELECT ${columns} FROM help_requests WHERE task_id = ANY ($1) AND status IN ('Pending', 'Responded')`,
};

/** The open request of each task that has one. */
export async function findOpenRequests(
  on: Queries,
  taskIds: readonly string[],
): Promise<ReadonlyMap<string, HelpRequest>> {
  const rows = await on.query<HelpRow>(open, [taskIds]);
  return new Map(rows.map((row) => [row.task_id, requestOf(row)]));
}

const respond: Statement = {
  name: 'help_respond',
  text: `UPDATE help_requests SET status = 'Responded', response = $2, chosen_option = $3, responded_at = $4, answered_by_default = $5
    WHERE id = $1 AND status = 'Pending' RETURNING ${columns}`,
};

/** Answers one that is Pending. */
export async function respondTo(
  tx: Tx,
  id: string,
  { response, chosenOption, byDefault }: Answer & { readonly byDefault: boolean },
  now: Date,
): Promise<HelpRequest> {
  return one(await tx.query<HelpRow>(respond, [id, response, chosenOption ?? null, now.toISOString(), byDefault]));
}

const resolve: Statement = {
  name: 'help_resolve',
  text: `UPDATE help_requests SET status = 'Resolved', resumed_at = $2 WHERE id = $1 AND status = 'Responded' RETURNING ${columns}`,
};

/** Ends one that was answered. */
export async function resolveRequest(tx: Tx, id: string, now: Date): Promise<HelpRequest> {
  return one(await tx.query<HelpRow>(resolve, [id, now.toISOString()]));
}

const cancel: Statement = {
  name: 'help_cancel',
  text: `UPDATE help_requests SET status = 'Cancelled'
    WHERE task_id = ANY ($1) AND status IN ('Pending', 'Responded') RETURNING ${columns}`,
};

/** Cancels what is open of these tasks. Answers it. */
export async function cancelRequests(tx: Tx, taskIds: readonly string[]): Promise<readonly HelpRequest[]> {
  return (await tx.query<HelpRow>(cancel, [taskIds])).map(requestOf);
}

const list: Statement = {
  name: 'help_list',
  text: `SELECT ${columns} FROM help_requests WHERE task_id = $1 AND ($2::bigint IS NULL OR n < $2) ORDER BY n DESC LIMIT $3`,
};

/** A request, and its place among all. */
export interface Listed {
  readonly request: HelpRequest;
  readonly n: number;
}

/** Those of a task, newest first, each with its place. */
export async function listRequests(
  on: Queries,
  taskId: string,
  before: number | undefined,
  limit: number,
): Promise<readonly Listed[]> {
  const rows = await on.query<HelpRow>(list, [taskId, before ?? null, limit]);
  return rows.map((row) => ({ request: requestOf(row), n: row.n }));
}

const due: Statement = {
  name: 'help_due',
  text: `SELECT task_id FROM help_requests WHERE status = 'Pending' AND deadline_at <= $1 ORDER BY deadline_at LIMIT $2`,
};

/** The tasks whose requests nobody has answered in time. */
export async function findDue(on: Queries, now: Date, limit: number): Promise<readonly string[]> {
  return (await on.query<{ task_id: string }>(due, [now.toISOString(), limit])).map((row) => row.task_id);
}

const next: Statement = {
  name: 'help_next_deadline',
  text: `SELECT min(deadline_at) AS at FROM help_requests WHERE status = 'Pending' AND deadline_at IS NOT NULL`,
};

/** When the next of them is due. */
export async function nextDeadline(on: Queries): Promise<Date | undefined> {
  const [row] = await on.query<{ at: Date | null }>(next, []);
  return row?.at ?? undefined;
}

function one(rows: readonly HelpRow[]): HelpRequest {
  const [row] = rows;
  if (row === undefined) throw new Error('a request for help was not as it had been read');
  return requestOf(row);
}
