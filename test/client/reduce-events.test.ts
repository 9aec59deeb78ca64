import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  emptyLedgerState,
  isEffectivelyBlocked,
  type JobRow,
  type Json,
  type LedgerEvent,
  LedgerGap,
  type LedgerState,
  reduceEvent,
  reduceEvents,
} from '../../src/client/index.js';
import { readSource } from '../support/architecture/source.js';

const at = '2026-03-01T12:00:00.000Z';
const later = '2026-03-01T12:00:01.000Z';

function event(seq: number, type: string, payload: Readonly<Record<string, Json>>, jobId = 'job_1'): LedgerEvent {
  return {
    id: `evt_${seq}`,
    seq,
    at,
    type,
    source: 'Rest',
    actor: { kind: 'human', id: 'local' },
    correlation_id: null,
    task_id: null,
    review_id: null,
    repo_id: null,
    session_id: null,
    job_id: jobId,
    payload,
  };
}

const submitted = {
  kind: 'build',
  status: 'queued',
  priority: 2,
  attempts: 0,
  max_attempts: 3,
  run_at: at,
  timeout_sec: null,
  created_at: at,
};
const queued = (seq: number, id?: string) => event(seq, 'JobQueued', submitted, id);
const started = (seq: number, id?: string) =>
  event(seq, 'JobStarted', { status: 'running', attempts: 1, started_at: later, worker_id: 'w1' }, id);
const done = (seq: number, id?: string) =>
  event(seq, 'JobDone', { status: 'done', error: null, finished_at: later }, id);

describe('rows', () => {
  test('of a job from its beginning are whole, and each event changes what it names', () => {
    const born = {
      id: 'job_1',
      ...submitted,
      started_at: null,
      finished_at: null,
      error: null,
      worker_id: null,
    };
    const running = { ...born, status: 'running', attempts: 1, started_at: later, worker_id: 'w1' };
    let state = reduceEvent(emptyLedgerState(), queued(1));
    expect(state.jobs.get('job_1')).toStrictEqual(born);
    state = reduceEvent(state, started(2));
    expect(state.jobs.get('job_1')).toStrictEqual(running);
    const again = { status: 'queued', attempts: 0, started_at: null, worker_id: null };
    expect(reduceEvent(state, event(3, 'JobQueued', again)).jobs.get('job_1')).toStrictEqual(born);
    const error = { code: 'broken', message: 'It broke.' };
    const retrying = event(3, 'JobRetrying', { status: 'queued', error, run_at: later });
    expect(reduceEvent(state, retrying).jobs.get('job_1')).toStrictEqual({
      ...running,
      status: 'queued',
      error,
      run_at: later,
    });
    state = reduceEvent(state, done(3));
    expect(state.jobs.get('job_1')).toStrictEqual({ ...running, status: 'done', finished_at: later });
  });

  test('of a job that is older than the first event have what events have told', () => {
    const { jobs, seq } = reduceEvents(emptyLedgerState(), [started(700), queued(701, 'job_2'), done(702)]);
    expect(seq).toBe(702);
    expect(jobs.get('job_1')).toStrictEqual({
      id: 'job_1',
      kind: undefined,
      status: 'done',
      priority: undefined,
      attempts: 1,
      max_attempts: undefined,
      run_at: undefined,
      timeout_sec: undefined,
      created_at: undefined,
      started_at: later,
      finished_at: later,
      error: null,
      worker_id: 'w1',
    });
    expect(jobs.get('job_2')).toMatchObject({ kind: 'build', started_at: null });
  });

  test('a job first seen when it is given back is not taken for a new one', () => {
    const back = event(9, 'JobQueued', { status: 'queued', attempts: 0, started_at: null, worker_id: null });
    const row = reduceEvent(emptyLedgerState(), back).jobs.get('job_1');
    expect(row).toMatchObject({ status: 'queued', kind: undefined, error: undefined, finished_at: undefined });
  });

  test('do not take what only later versions tell', () => {
    const state = reduceEvent(emptyLedgerState(), event(1, 'JobQueued', { ...submitted, id: 'job_9', mood: 'good' }));
    expect(state.jobs.get('job_1')).toMatchObject({ id: 'job_1' });
    expect(state.jobs.get('job_1')).not.toHaveProperty('mood');
  });
});

describe('events', () => {
  const first = reduceEvents(emptyLedgerState(), [queued(1), started(2)]);

  test('that were reduced before change nothing', () => {
    expect(reduceEvent(first, queued(1))).toBe(first);
    expect(reduceEvent(first, started(2))).toBe(first);
    const all = [queued(1), started(2), done(3)];
    expect(reduceEvents(first, all)).toEqual(reduceEvents(emptyLedgerState(), all));
  });

  test('that miss others before them throw, and say so', () => {
    expect(() => reduceEvent(first, done(4))).toThrow(new LedgerGap(2, 4));
    expect(() => reduceEvent(first, done(4))).toThrow('events are missing: after 2 comes 3, not 4');
    expect(() => reduceEvents(first, [done(3), queued(5, 'job_2')])).toThrow(LedgerGap);
    expect(first.seq).toBe(2);
  });

  test('of a filtered stream may leave others out', () => {
    const state = reduceEvents(emptyLedgerState({ filtered: true }), [queued(3), done(17)]);
    expect(state).toMatchObject({ seq: 17, filtered: true });
    expect(state.jobs.get('job_1')).toMatchObject({ status: 'done' });
  });

  test('of other types count, and change no row', () => {
    const other = { ...event(3, 'TaskCreated', { title: 'x' }), job_id: null, task_id: 'task_1' };
    const newer = event(4, 'JobPolished', { status: 'shiny' });
    const nobody = { ...event(5, 'JobDone', { status: 'done' }), job_id: null };
    const state = reduceEvents(first, [other, newer, nobody]);
    expect(state.seq).toBe(5);
    expect(state.jobs).toBe(first.jobs);
  });
});

test('states before are as they were, however many come after', () => {
  let state = emptyLedgerState();
  const kept: { readonly state: LedgerState; readonly rows: ReadonlyMap<string, JobRow> }[] = [];
  for (let seq = 1; seq <= 3000; seq++) {
    const make = seq <= 1000 ? queued : seq <= 2000 ? started : done;
    state = reduceEvent(state, make(seq, `job_${seq % 1000}`));
    if (seq % 300 === 0) kept.push({ state, rows: new Map([...state.jobs].map(([id, row]) => [id, { ...row }])) });
  }
  for (const [index, { state: before, rows }] of kept.entries()) {
    expect(before.seq).toBe(300 * (index + 1));
    expect(new Map(before.jobs)).toStrictEqual(rows);
  }
});

test('a hundred thousand events are reduced one by one', () => {
  // Copying the whole map each time would take minutes.
  const jobs = 40_000;
  const ids = Array.from({ length: jobs }, (_, n) => `job_${String((n * 7919) % jobs).padStart(26, '0')}`);
  let state = emptyLedgerState();
  for (let seq = 1; seq <= 100_000; seq++) {
    const make = seq <= jobs ? queued : seq <= 2 * jobs ? started : done;
    state = reduceEvent(state, make(seq, ids[(seq - 1) % jobs]));
  }
  expect(state).toMatchObject({ seq: 100_000, jobs: { size: jobs } });
  const count = (status: string) => [...state.jobs.values()].filter((row) => row.status === status).length;
  expect([count('queued'), count('running'), count('done')]).toEqual([0, 20_000, 20_000]);
});

describe('tasks', () => {
  const told = (seq: number, type: string, taskId: string, payload: LedgerEvent['payload']): LedgerEvent => ({
    ...event(seq, type, payload),
    job_id: null,
    task_id: taskId,
    repo_id: 'repo_1',
  });

  test('that are older than the first event have what events have told', () => {
    const state = reduceEvents(emptyLedgerState(), [
      told(8, 'BlockerAdded', 'task_1', { blocker_id: 'task_2', updated_at: at }),
      told(9, 'TaskStarted', 'task_1', { from: 'Pending', status: 'InProgress', started_at: at, completed_at: null }),
      told(10, 'TaskDeleted', 'task_3', {}),
    ]);
    expect([...state.tasks.keys()]).toEqual(['task_1']);
    expect(state.tasks.get('task_1')).toMatchObject({ status: 'InProgress', started_at: at, repo_id: 'repo_1' });
    expect(state.tasks.get('task_1')?.blocked_by).toBeUndefined();
    expect(isEffectivelyBlocked(state.tasks, 'task_1')).toBeUndefined();
    expect(isEffectivelyBlocked(state.tasks, 'task_2')).toBeUndefined();
  });
});

describe('repositories', () => {
  const told = (seq: number, type: string, repoId: string, payload: LedgerEvent['payload']): LedgerEvent => ({
    ...event(seq, type, payload),
    job_id: null,
    repo_id: repoId,
  });
  const registered = { path: '/p', name: 'p', vcs_type: 'Git', default_branch: 'main' };
  const times = { created_at: at, updated_at: at };

  test('have what the last event has told, and go when they are unregistered', () => {
    const state = reduceEvents(emptyLedgerState(), [
      told(1, 'RepoRegistered', 'repo_1', { ...registered, ...times }),
      told(2, 'RepoRegistered', 'repo_2', { ...registered, ...times }),
      told(3, 'RepoUpdated', 'repo_1', { default_branch: 'trunk', updated_at: later, mood: 'good' }),
      told(4, 'RepoUnregistered', 'repo_2', { path: '/p', name: 'p' }),
      { ...told(5, 'TaskUpdated', 'repo_3', { priority: 1 }), task_id: 'task_1' },
    ]);
    expect([...state.repos.values()]).toStrictEqual([
      { id: 'repo_1', ...registered, ...times, default_branch: 'trunk', updated_at: later },
    ]);
  });

  test('that are older than the first event have what events have told', () => {
    const changed = told(8, 'RepoUpdated', 'repo_1', { default_branch: 'trunk', updated_at: later });
    expect(reduceEvent(emptyLedgerState(), changed).repos.get('repo_1')).toStrictEqual({
      ...{ id: 'repo_1', path: undefined, name: undefined, vcs_type: undefined, created_at: undefined },
      ...{ default_branch: 'trunk', updated_at: later },
    });
  });
});

describe('reviews', () => {
  const told = (
    seq: number,
    type: string,
    of: readonly [task: string, review: string],
    payload: LedgerEvent['payload'],
  ) => ({
    ...event(seq, type, payload),
    job_id: null,
    task_id: of[0],
    review_id: of[1],
  });
  const [one, two] = [['task_1', 'rev_1'] as const, ['task_2', 'rev_2'] as const];

  test('that are older than the first event have what events have told', () => {
    const { reviews, comments } = reduceEvents(emptyLedgerState(), [
      told(8, 'ReviewPhaseChanged', one, { status: 'HumanPending', agent_completed_at: at, later: 'x' }),
      told(9, 'CommentResolved', one, { comment_id: 'cmt_1', resolved_at: at }),
    ]);
    expect(reviews.get('rev_1')).toMatchObject({ id: 'rev_1', task_id: 'task_1', status: 'HumanPending' });
    expect(reviews.get('rev_1')).toMatchObject({ agent_completed_at: at, base_commit: undefined });
    expect(reviews.get('rev_1')).not.toHaveProperty('later');
    expect(comments.get('cmt_1')).toMatchObject({ review_id: 'rev_1', resolved_at: at, body: undefined });
  });

  test('go with their task, and their comments with them', () => {
    const { reviews, comments } = reduceEvents(emptyLedgerState(), [
      told(1, 'ReviewCreated', one, { status: 'AgentPending' }),
      told(2, 'ReviewCreated', two, { status: 'AgentPending' }),
      told(3, 'CommentAdded', one, { comment_id: 'cmt_1', body: 'b' }),
      told(4, 'CommentAdded', two, { comment_id: 'cmt_2', body: 'b' }),
      { ...told(5, 'TaskDeleted', one, {}), review_id: null },
    ]);
    expect([[...reviews.keys()], [...comments.keys()]]).toEqual([['rev_2'], ['cmt_2']]);
    expect(comments.get('cmt_2')).toMatchObject({ task_id: 'task_2', review_id: 'rev_2', resolved_at: null });
  });
});

test('nothing that a browser lacks is imported', () => {
  const left = ['src/client/reduce-events.ts'];
  const seen = new Set<string>();
  for (let file = left.pop(); file !== undefined; file = left.pop()) {
    seen.add(file);
    for (const target of readSource(readFileSync(file, 'utf8')).imports) {
      expect(target, `import of ${file}`).toMatch(/^\.\.?\//);
      left.push(path.posix.join(path.posix.dirname(file), target).replace(/\.js$/, '.ts'));
    }
  }
  expect([...seen]).toContain('src/client/chunked-map.ts');
});
