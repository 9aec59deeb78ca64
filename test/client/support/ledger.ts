import { expect } from 'vitest';
import { JobStatus, type LedgerEvent, type LedgerState } from '../../../src/client/index.js';
import type { TestDatabase } from '../../support/database.js';
import type { JobsClient, Lease } from '../../support/jobs-client.js';
import { rest } from '../../support/rest.js';
import { startWorker } from '../../support/work-client.js';

/** Everything after a seq, by small pages, so that there are many. */
export async function readLedger(url: string, after = 0): Promise<LedgerEvent[]> {
  const all: LedgerEvent[] = [];
  for (;;) {
    const answer = await rest(url, 'GET', `/api/events/replay?limit=37&after=${all.at(-1)?.seq ?? after}`);
    expect(answer.status).toBe(200);
    const page = answer.json as LedgerEvent[];
    if (page.length === 0) return all;
    all.push(...page);
  }
}

const untold: ReadonlySet<string> = new Set(['payload', 'result', 'progress']);

/** Reduced rows must say of these jobs what the server says, field by field. */
export async function expectRows(
  { jobs: rows }: LedgerState,
  ids: readonly string[],
  { jobs, database }: { readonly jobs: JobsClient; readonly database: TestDatabase },
): Promise<void> {
  const workers = await database.query<{ id: string; worker_id: string | null }>(
    'SELECT id, worker_id FROM jobs WHERE id = ANY ($1)',
    [ids],
  );
  const workerOf = new Map(workers.map(({ id, worker_id }) => [id, worker_id]));
  const expected = await Promise.all(
    ids.map(async (id) => {
      const told = Object.entries(await jobs.get(id)).filter(([field]) => !untold.has(field));
      // REST does not tell it, but the ledger does.
      return { ...Object.fromEntries(told), worker_id: workerOf.get(id) ?? null };
    }),
  );
  expect(ids.map((id) => rows.get(id))).toStrictEqual(expected);
}

/** What may happen to a job in each status, and the status after it. */
const moves = {
  none: { JobQueued: 'queued' },
  queued: { JobStarted: 'running', JobCanceled: 'canceled' },
  running: {
    JobDone: 'done',
    JobFailed: 'error',
    JobRetrying: 'queued',
    JobCanceled: 'canceled',
    JobQueued: 'queued',
  },
  done: {},
  error: {},
  canceled: {},
} as const satisfies Record<string, Readonly<Record<string, string>>>;

/** Every move, as `expectLegal` answers them. */
export const allMoves: ReadonlySet<string> = new Set(
  Object.entries(moves).flatMap(([from, next]) => Object.keys(next).map((type) => `${from} ${type}`)),
);

/** A ledger from its beginning must have no gap, and each job's events must follow each other. Answers the moves there were. */
export function expectLegal(events: readonly LedgerEvent[]): ReadonlySet<string> {
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  const jobs = new Map<string, { status: keyof typeof moves; attempts: number }>();
  const seen = new Set<string>();
  const faults: string[] = [];
  for (const { seq, type, job_id: id, payload } of events) {
    const before = jobs.get(id ?? '') ?? { status: 'none', attempts: 0 };
    const move = `${before.status} ${type}`;
    const next: Readonly<Record<string, keyof typeof moves>> = moves[before.status];
    const status = next[type];
    const attempts = before.attempts + (attemptsOf[move] ?? 0);
    if (status === undefined || status !== payload['status']) faults.push(`${seq}: ${id} ${move}`);
    if ((payload['attempts'] ?? attempts) !== attempts) faults.push(`${seq}: ${id} has not ${attempts} attempts`);
    jobs.set(id ?? '', { status: status ?? before.status, attempts });
    seen.add(move);
  }
  expect(faults).toEqual([]);
  return seen;
}

const attemptsOf: Readonly<Record<string, number>> = { 'queued JobStarted': 1, 'running JobQueued': -1 };

/** Gives jobs back that were claimed in any way, one at a time. Answers the error word, or the status. */
export async function createReleaser(url: string): Promise<(lease: Lease) => Promise<string>> {
  const stream = await startWorker(url, { workerId: 'releaser', kinds: ['none'], capacity: 0 });
  return async ({ id, lease_token: leaseToken }) => {
    const before = stream.heard.outcomes.length;
    stream.update({ released: [{ id, leaseToken }] });
    const { status, error } = await stream.until('it is answered', ({ outcomes }) => outcomes[before]);
    return error?.error ?? (status === JobStatus.QUEUED ? 'queued' : `status ${status}`);
  };
}
