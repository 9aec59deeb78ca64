import { randomUUID } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import { AppError } from '../../src/errors.js';
import { migrations } from '../../src/migrations/index.js';
import { createManualClock } from '../../src/platform/clock.js';
import { createDatabase, type Db, type Statement } from '../../src/platform/db/db.js';
import { migrate } from '../../src/platform/db/migrate.js';
import { createWakeups } from '../../src/platform/db/wakeups.js';
import { createIdempotency } from '../../src/platform/idempotency/idempotency.js';
import type { Keep } from '../../src/platform/idempotency/keep.js';
import { createLog } from '../../src/platform/log.js';
import { createTestDatabase } from '../support/database.js';
import { soon, until } from '../support/until.js';
import { holdAnswers } from './support/hold.js';

interface Request {
  readonly key: string;
  readonly principal: { readonly kind: string; readonly id: string };
  readonly method: string;
  readonly input: object;
}

const request: Request = {
  key: 'k',
  principal: { kind: 'human', id: 'local' },
  method: '/s/M',
  input: { a: 1 },
};
const day = 24 * 3600_000;

/** Two servers' worth of the mechanism on one database, and a table for what is done. */
async function setUp({ pollMs = 10, listen = false } = {}) {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const log = createLog('silent');
  const clock = createManualClock(new Date());
  const connection = { connectionString: database.url };
  const servers = [1, 2].map(() => {
    const db = createDatabase(connection, { poolSize: 3, log, ownSessions: true });
    onTestFinished(() => db.close());
    const stopping = new AbortController();
    const wakeups = createWakeups({ connection, db, log, listen });
    onTestFinished(() => wakeups.stop());
    let looks = 0;
    const watched: Db = {
      transaction: db.transaction,
      async query<R>(statement: Statement, values: readonly unknown[]) {
        const rows = await db.query<R>(statement, values);
        if (statement.name === 'idempotency_find') looks += 1;
        return rows;
      },
    };
    /** Resolves when somebody waits for another server: who has looked, has begun to listen, and has looked again. */
    const waits = async (): Promise<void> => {
      const before = looks;
      await until('a twin waits', () => looks >= before + 2);
    };
    const idempotency = createIdempotency({ db: watched, clock, wakeups, log, stopping: stopping.signal, pollMs });
    const answer = (work: (keep: Keep<object>) => Promise<object>, given: Partial<Request> = {}, signal = never) =>
      idempotency.answer({ ...request, ...given }, signal, work);
    /** Does something and keeps that it has. */
    const does =
      (what: string, before: Promise<unknown> = Promise.resolve()) =>
      async (keep: Keep<object>) => {
        await before;
        return db.transaction(async (tx) => {
          await tx.query({ name: 'do', text: 'INSERT INTO done (what) VALUES ($1)' }, [what]);
          await keep(tx, { what });
          return { what };
        });
      };
    return { db, wakeups, idempotency, stopping, answer, does, waits };
  });
  const [first, second] = servers;
  if (first === undefined || second === undefined) throw new Error('there are two');
  await migrate(first.db, connection, migrations);
  await database.query('CREATE TABLE done (what text)');
  const done = async (): Promise<string[]> =>
    (await database.query<{ what: string }>('SELECT what FROM done')).map(({ what }) => what);
  return { database, clock, first, second, done };
}

const never = new AbortController().signal;

function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => (open = resolve));
  return { passed, open };
}

describe('a claim that lapses', () => {
  test('goes to a twin, and its slow holder, who comes too late, is rolled back and given the answer', async () => {
    const { clock, first, second, done } = await setUp();
    const { passed, open } = gate();
    const slow = first.answer(first.does('slow', passed));
    await until('the key is claimed', async () => (await first.db.query(claimed, [])).length === 1);
    clock.advance(15_001);
    expect(await second.answer(second.does('quick'))).toEqual({ answer: { what: 'quick' }, replayed: false });
    open();
    expect(await slow).toEqual({ answer: { what: 'quick' }, replayed: true });
    expect(await done()).toEqual(['quick']);
  });

  test.each<[string, () => Promise<object>]>([
    ['changed nothing', async () => ({ what: 'nothing' })],
    ['failed', () => Promise.reject(new AppError('invalid_state', 'Too late.'))],
  ])('gives its slow holder who %s the answer of the twin', async (_what, end) => {
    const { clock, first, second } = await setUp();
    const { passed, open } = gate();
    const slow = first.answer(() => passed.then(end));
    await until('the key is claimed', async () => (await first.db.query(claimed, [])).length === 1);
    clock.advance(15_001);
    await second.answer(second.does('quick'));
    open();
    expect(await slow).toEqual({ answer: { what: 'quick' }, replayed: true });
  });

  test('does not lapse as long as its holder renews it', async () => {
    const { database, clock, first, second, done } = await setUp();
    const { passed, open } = gate();
    const slow = first.answer(first.does('slow', passed));
    await until('the key is claimed', async () => (await first.db.query(claimed, [])).length === 1);
    clock.advance(14_000);
    first.idempotency.start();
    onTestFinished(() => first.idempotency.stop());
    await until('it is renewed', async () => {
      const ahead = 'SELECT FROM idempotency_keys WHERE claimed_until > $1';
      return (await database.query(ahead, [new Date(clock.now().getTime() + 14_000)])).length === 1;
    });
    clock.advance(14_000);
    const twin = second.answer(second.does('twin'));
    open();
    expect(await slow).toEqual({ answer: { what: 'slow' }, replayed: false });
    expect(await soon('the twin', twin)).toEqual({ answer: { what: 'slow' }, replayed: true });
    expect(await done()).toEqual(['slow']);
  });

  test('while its answer is just being written is not waited for by anything that holds a connection', async () => {
    const { database, clock, first, second, done } = await setUp();
    const hold = await holdAnswers(database, 'writing');
    // As many as a server has connections.
    const keys = ['1', '2', '3'];
    const slow = keys.map((key) => first.answer(first.does(key), { key }));
    await hold.standing(keys.length);
    clock.advance(15_001);
    const twins = keys.map((key) => second.answer(second.does('twin'), { key }));
    for (let n = 0; n < 20; n += 1) await second.db.now();
    await hold.letGo();
    const answers = keys.map((key) => ({ what: key }));
    expect(await Promise.all(slow)).toEqual(answers.map((answer) => ({ answer, replayed: false })));
    expect(await Promise.all(twins)).toEqual(answers.map((answer) => ({ answer, replayed: true })));
    expect((await done()).sort()).toEqual(keys);
  });

  test('lets its slow holder write nothing into what the key has become', async () => {
    const { clock, first, second, done } = await setUp();
    const { passed, open } = gate();
    const slow = first.answer(first.does('slow', passed));
    await until('the key is claimed', async () => (await first.db.query(claimed, [])).length === 1);
    clock.advance(15_001);
    const failing = second.answer(() => Promise.reject(new AppError('invalid_state', 'Not now.')));
    await expect(failing).rejects.toMatchObject({ kind: 'invalid_state' });
    const other = gate();
    const next = second.answer(second.does('next', other.passed), { input: { a: 2 } });
    await until('the key is claimed anew', async () => (await first.db.query(claimed, [])).length === 1);
    open();
    await expect(slow).rejects.toMatchObject({ kind: 'conflict' });
    other.open();
    expect(await next).toEqual({ answer: { what: 'next' }, replayed: false });
    expect(await done()).toEqual(['next']);
  });

  test('is nobody’s for another request', async () => {
    const { clock, first, second } = await setUp();
    const left = first.answer(() => new Promise(() => undefined));
    await until('the key is claimed', async () => (await first.db.query(claimed, [])).length === 1);
    clock.advance(15_001);
    await expect(second.answer(second.does('other'), { input: { a: 2 } })).rejects.toMatchObject({ kind: 'conflict' });
    void left;
  });
});

const claimed = { name: 'claimed', text: 'SELECT FROM idempotency_keys' };
const listening = {
  name: 'listening',
  text: `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`,
};

describe('what is remembered', () => {
  test('is the answer of a call that changed nothing, too', async () => {
    const { first, second } = await setUp();
    let runs = 0;
    const work = async () => ({ runs: (runs += 1) });
    expect(await first.answer(work)).toEqual({ answer: { runs: 1 }, replayed: false });
    expect(await second.answer(work)).toEqual({ answer: { runs: 1 }, replayed: true });
  });

  test('is forgotten a day after the first call, by whoever asks and in the end by itself', async () => {
    const { database, clock, first, second } = await setUp();
    await first.answer(first.does('first'));
    clock.advance(day - 1);
    expect(await second.answer(second.does('second'))).toMatchObject({ answer: { what: 'first' } });
    await expect(second.answer(second.does('other'), { input: {} })).rejects.toMatchObject({ kind: 'conflict' });
    clock.advance(1);
    expect(await second.answer(second.does('other'), { input: {} })).toMatchObject({ answer: { what: 'other' } });
    await first.answer(first.does('more'), { key: 'younger' });
    clock.advance(day - 1);
    await first.answer(first.does('more'), { key: 'youngest' });
    clock.advance(1);
    first.idempotency.start();
    onTestFinished(() => first.idempotency.stop());
    await until(
      'the old ones are gone',
      async () => (await database.query('SELECT FROM idempotency_keys')).length === 1,
    );
  });

  test('is nothing of a call that failed', async () => {
    const { database, first, second, done } = await setUp();
    const failing = first.answer(() => Promise.reject(new AppError('invalid_state', 'Not now.')));
    await expect(failing).rejects.toMatchObject({ kind: 'invalid_state' });
    expect(await database.query('SELECT FROM idempotency_keys')).toEqual([]);
    expect(await second.answer(second.does('later'), { input: { a: 2 } })).toMatchObject({ replayed: false });
    expect(await done()).toEqual(['later']);
  });

  test('is what was committed, whatever happened to the call after that', async () => {
    const { first, second, done } = await setUp();
    const work = async (keep: Keep<object>) => {
      await first.does('done')(keep);
      throw new AppError('unavailable', 'It broke afterwards.');
    };
    expect(await first.answer(work)).toEqual({ answer: { what: 'done' }, replayed: false });
    expect(await second.answer(second.does('again'))).toMatchObject({ replayed: true });
    expect(await done()).toEqual(['done']);
  });

  test('is nothing that a rolled back transaction kept', async () => {
    const { first, done } = await setUp();
    const work = async (keep: Keep<object>) => {
      await first.db
        .transaction(async (tx) => {
          await keep(tx, { what: 'rolled back' });
          throw new Error('rolled back');
        })
        .catch(() => undefined);
      return { what: 'nothing' };
    };
    expect(await first.answer(work)).toMatchObject({ answer: { what: 'nothing' } });
    expect(await first.answer(first.does('again'))).toEqual({ answer: { what: 'nothing' }, replayed: true });
    expect(await done()).toEqual([]);
  });

  test('is never changed again, not even by a transaction that outlives its call', async () => {
    const { first, done } = await setUp();
    const { passed, open } = gate();
    let late: Promise<unknown> = Promise.resolve();
    const early = await first.answer(async (keep) => {
      late = first
        .does(
          'late',
          passed,
        )(keep)
        .catch((error: unknown) => error);
      return { what: 'early' };
    });
    expect(early).toEqual({ answer: { what: 'early' }, replayed: false });
    open();
    expect(await late).toBeInstanceOf(Error);
    expect(await done()).toEqual([]);
    expect(await first.answer(first.does('again'))).toEqual({ answer: { what: 'early' }, replayed: true });
  });

  test('can be read by nobody who has not got the key, which is nowhere', async () => {
    const { database, first } = await setUp();
    const secret = randomUUID();
    const key = randomUUID();
    await first.answer(first.does(secret), { key });
    await database.query('TRUNCATE done');
    const [row] = await database.query<{ row: string; answer: Buffer }>(
      'SELECT k::text AS row, answer FROM idempotency_keys k',
    );
    for (const text of [row?.row, row?.answer.toString('latin1')]) {
      expect(text).not.toContain(secret);
      expect(text).not.toContain(key);
    }
    expect(await first.answer(first.does('again'), { key })).toMatchObject({ answer: { what: secret } });
  });
});

test('callers, and keys, have nothing to do with each other', async () => {
  const { first, second, done } = await setUp();
  const others = [
    { principal: { kind: 'human', id: 'other' } },
    { principal: { kind: 'worker', id: 'local' } },
    { key: 'K' },
    { key: 'k ' },
    // Must not run into each other.
    { principal: { kind: 'human', id: 'local","k' }, key: 'x' },
  ];
  await first.answer(first.does('0'));
  for (const [n, given] of others.entries()) {
    expect(await second.answer(second.does(String(n + 1)), given)).toMatchObject({ replayed: false });
  }
  expect(await done()).toEqual(['0', '1', '2', '3', '4', '5']);
});

describe('twins', () => {
  test('of one that fails fail with it, and the next one is judged anew', async () => {
    const { first } = await setUp();
    const { passed, open } = gate();
    let runs = 0;
    const work = async () => {
      await passed;
      runs += 1;
      throw new AppError('not_found', 'Nothing here.');
    };
    const twins = [first.answer(work), first.answer(work), first.answer(work)];
    open();
    for (const twin of twins) await expect(twin).rejects.toMatchObject({ kind: 'not_found' });
    expect(runs).toBe(1);
    await expect(first.answer(work)).rejects.toMatchObject({ kind: 'not_found' });
    expect(runs).toBe(2);
  });

  test('on another server learn of the answer when it is there, long before they would look', async () => {
    const { first, second } = await setUp({ pollMs: 600_000, listen: true });
    await Promise.all([first.wakeups.start(), second.wakeups.start()]);
    await until('both listen', async () => (await first.db.query(listening, [])).length === 2);
    const { passed, open } = gate();
    const slow = first.answer(first.does('slow', passed));
    await until('the key is claimed', async () => (await first.db.query(claimed, [])).length === 1);
    const twin = second.answer(second.does('twin'));
    await second.waits();
    open();
    expect(await slow).toMatchObject({ replayed: false });
    expect(await soon('the twin', twin)).toEqual({ answer: { what: 'slow' }, replayed: true });
  });

  test('who wait leave when their caller does, and when the server stops', async () => {
    const { first, second } = await setUp({ pollMs: 600_000 });
    const { passed, open } = gate();
    const slow = first.answer(first.does('slow', passed));
    await until('the key is claimed', async () => (await first.db.query(claimed, [])).length === 1);
    const gone = new AbortController();
    const here = first.answer(first.does('twin'), {}, gone.signal);
    const there = second.answer(second.does('twin'), {}, gone.signal);
    const behind = second.answer(second.does('twin'));
    await second.waits();
    gone.abort();
    const behindWaits = second.waits();
    await expect(here).rejects.toMatchObject({ kind: 'canceled' });
    await expect(there).rejects.toMatchObject({ kind: 'canceled' });
    // It was not its caller who left, so that it looks for itself.
    await behindWaits;
    second.stopping.abort();
    await expect(soon('the one behind', behind)).rejects.toMatchObject({ kind: 'unavailable' });
    open();
    expect(await slow).toMatchObject({ replayed: false });
  });
});
