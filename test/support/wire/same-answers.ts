import { describe, expect, onTestFinished, test } from 'vitest';
import { createManualClock, type ManualClock } from '../../../src/platform/clock.js';
import { startTestApp } from '../app.js';
import { createNormaliser } from '../golden.js';
import type { ApiKind, Fields, Headers, MethodName, Outcome } from './api.js';

interface Stage {
  readonly clock: ManualClock;
  /** Makes the call and writes it down. */
  readonly call: (method: MethodName, request: Fields, headers?: Headers) => Promise<Outcome>;
  /** The same, for an answer that has a job. */
  readonly claim: (request?: Fields) => Promise<{ id: string; lease_token: string }>;
  readonly submit: (request?: Fields) => Promise<string>;
  readonly transcript: () => string;
}

/** A server of its own at noon, called in one way. */
async function stage(kind: ApiKind): Promise<Stage> {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const app = await startTestApp({ clock, random: () => 0.5 });
  const api = kind.open(app.url);
  onTestFinished(() => api.close());
  const lines: string[] = [];
  const call = async (method: MethodName, request: Fields, headers: Headers = {}): Promise<Outcome> => {
    const outcome = await api.call(method, request, { 'x-correlation-id': 'wire-1', ...headers });
    lines.push(`${method} ${print(request)}`, `  ${print(outcome)}`);
    return outcome;
  };
  const okOf = (outcome: Outcome): Fields => {
    if ('failed' in outcome) throw new Error(JSON.stringify(outcome));
    return outcome.ok;
  };
  return {
    clock,
    call,
    async submit(request = {}) {
      return String(okOf(await call('CreateJob', { kind: 'a', ...request }))['id']);
    },
    async claim(request = {}) {
      const answer = okOf(await call('ClaimJobs', { worker_id: 'w', kinds: ['a'], ...request }));
      const [job] = answer['jobs'] as { id: string; lease_token: string }[];
      if (job === undefined) throw new Error('nothing was claimed');
      return { id: job.id, lease_token: job.lease_token };
    },
    transcript: () => createNormaliser()(`${lines.join('\n')}\n`),
  };
}

/** Keys in one order, since each protocol has its own; long texts by their length. */
function print(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) => {
    if (typeof member === 'string' && member.length > 1000) return `<${member.length} characters>`;
    if (typeof member !== 'object' || member === null || Array.isArray(member)) return member;
    return Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

const unknown = 'job_01ARZ3NDEKTSV4RRFFQ69G5FAV';
const mib = 1024 * 1024;

/**
 * The same calls in each of these ways. Each has to give what the others give, down to the last field: they share their golden files.
 * After `vitest -u`, run once more without: the last way has written the files, and the others have to agree with it.
 */
export function describeSameAnswers(kinds: readonly ApiKind[], withErrors = (_kind: ApiKind): boolean => true): void {
  describe.each(kinds.map((kind) => [kind.name, kind] as const))('%s', (_name, kind) => {
    test('the life of a job', async () => {
      const { clock, call, submit, claim, transcript } = await stage(kind);
      const full = {
        kind: 'a',
        payload: { text: 'é', list: [1, 2.5, null, true, { a: [] }] },
        priority: 1,
        run_at: '2026-01-31T11:59:59.500Z',
        max_attempts: 2,
        timeout_sec: 60,
        idempotency_key: 'once',
      };
      const first = await submit(full);
      await call('CreateJob', full);
      await submit({ kind: 'b', payload: null });
      await submit({ kind: 'c' });
      await call('GetJob', { id: first });
      clock.advance(1000);
      const mine = await claim({ max: 1, lease_sec: 10, wait_sec: 0 });
      await call('HeartbeatJob', { ...mine, progress: { percent: 50 } });
      await call('HeartbeatJob', { ...mine });
      await call('FailJob', { ...mine, error: { code: 'exit_1', message: 'é' }, retryable: true });
      clock.advance(10_000);
      const again = await claim({ wait_sec: 60 });
      await call('CompleteJob', { ...again, result: [{ sum: 0.1 }] });
      await call('CompleteJob', { ...again, result: [{ sum: 0.1 }] });
      await call('ListJobs', {});
      await call('ListJobs', { status: ['done', 'running'], kind: ['a'], limit: 1 });
      const page = await call('ListJobs', { limit: 2 });
      await call('ListJobs', { limit: 2, cursor: 'ok' in page ? page.ok['next_cursor'] : '' });
      const canceled = await claim({ kinds: ['b'] });
      await call('CancelJob', { id: canceled.id });
      await call('CancelJob', { id: canceled.id });
      await call('HeartbeatJob', { ...canceled });
      await expect(transcript()).toMatchFileSnapshot('./golden/life-of-a-job.txt');
    });

    if (!withErrors(kind)) return;
    test('every error', async () => {
      const { call, submit, claim, transcript } = await stage(kind);
      await call('CreateJob', {});
      await call('CreateJob', { kind: 'a b' });
      await call('CreateJob', { kind: 'a', priority: 4 });
      await call('CreateJob', { kind: 'a', payload: 'x'.repeat(mib - 1) });
      await call('CreateJob', { kind: 'a' }, { authorization: 'Bearer x' });
      await call('CreateJob', { kind: 'other', idempotency_key: 'once' });
      await call('CreateJob', { kind: 'a', idempotency_key: 'once' });
      await call('GetJob', { id: unknown });
      await call('GetJob', { id: 'é/:%' });
      await call('GetJob', { id: unknown }, { authorization: 'Basic x' });
      await call('ListJobs', { limit: 501 });
      await call('ListJobs', { cursor: 'none' });
      await call('ListJobs', { kind: ['a', 'b c'] });
      await call('CancelJob', { id: unknown });
      await call('ClaimJobs', { worker_id: 'w', kinds: [] });
      await call('ClaimJobs', { worker_id: 'w', kinds: ['a', 'b c'] });
      await call('HeartbeatJob', { id: unknown, lease_token: 'a' });
      await call('CompleteJob', { id: unknown, lease_token: '' });
      await call('FailJob', { id: unknown, lease_token: 'a' });

      await submit();
      const done = await claim();
      await call('FailJob', { ...done, error: { code: 'x', message: '' }, lease_token: 'not-mine' });
      await call('CompleteJob', { ...done, result: 'x'.repeat(mib - 1) });
      await call('CompleteJob', { ...done });
      await call('CancelJob', { id: done.id });
      await call('FailJob', { ...done, error: { code: 'x' } });
      await submit();
      const canceled = await claim();
      await call('CancelJob', { id: canceled.id });
      await call('CompleteJob', { ...canceled });
      await expect(transcript()).toMatchFileSnapshot('./golden/every-error.txt');
    });
  });
}
