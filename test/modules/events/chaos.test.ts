import { randomInt } from 'node:crypto';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { useBuiltServer } from '../../support/built-server.js';
import { createTestDatabase, type TestDatabase } from '../../support/database.js';
import { type RestEvent, wholeLedger } from '../../support/events-client.js';
import { createJobsClient } from '../../support/jobs-client.js';
import { rest } from '../../support/rest.js';
import { soon, until } from '../../support/until.js';
import { findFaults } from './support/checker.js';
import { type Fleet, startFleet } from './support/fleet.js';
import { type Follower, startFollower } from './support/follower.js';
import { startOwnPostgres } from './support/own-postgres.js';
import { startSubmitter, type Submitter } from './support/submitter.js';
import { asOften } from '../../support/effort.js';

const startServer = useBuiltServer();

/** Servers at work, clients who write to all of them, and readers, each of whom begins at another one. */
interface Scene {
  readonly database: Pick<TestDatabase, 'url' | 'query'>;
  readonly fleet: Fleet;
  readonly submitters: readonly Submitter[];
  readonly followers: readonly Follower[];
  /** The marks of jobs that the test submits itself, by their ids. */
  readonly besides: Map<string, string>;
}

async function setUp(database: Scene['database'], servers: number): Promise<Scene> {
  const fleet = await startFleet(startServer, database.url, servers);
  const followers = Array.from({ length: servers + 1 }, (_, n) => startFollower(fleet.urls, n));
  const submitters = Array.from({ length: 16 }, (_, n) => startSubmitter(fleet.urls, `client${n}`));
  return { database, fleet, submitters, followers, besides: new Map() };
}

async function makeDatabase(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  return database;
}

/** The marks of all jobs that were promised to somebody, by their ids. */
function promised({ submitters, besides }: Scene): Map<string, string> {
  const marks = new Map(besides);
  for (const { acknowledged } of submitters) for (const [mark, id] of acknowledged) marks.set(id, mark);
  return marks;
}

const countOf = ({ submitters, besides }: Scene): number =>
  submitters.reduce((sum, { acknowledged }) => sum + acknowledged.size, besides.size);

const faultsOf = ({ submitters, followers }: Scene): string[] =>
  [...submitters, ...followers].flatMap(({ faults }) => faults);

const lastOf = ({ told }: Follower): number => told.at(-1)?.seq ?? 0;

/** Waits until so many more jobs are promised, and every reader has been told of as many as had been before. */
async function progress(scene: Scene, jobs: number): Promise<void> {
  const before = countOf(scene);
  const due = Math.max(before, 1);
  await until('work goes on', () => {
    expect(faultsOf(scene)).toEqual([]);
    return countOf(scene) >= before + jobs && scene.followers.every((each) => lastOf(each) >= due);
  });
}

/** Ends the scene. Everybody must have been told the same, whole and in order: that of what was promised, and nothing else. */
async function expectKept(scene: Scene): Promise<void> {
  const { database, fleet, submitters, followers } = scene;
  await progress(scene, 20);
  await soon('the clients to end', Promise.all(submitters.map((each) => each.stop())));
  const ledger = await wholeLedger(fleet.urls()[0] ?? '');
  const head = ledger.at(-1)?.seq ?? 0;
  await until('everybody has been told everything', () => followers.every((each) => lastOf(each) >= head));
  await soon('the readers to end', Promise.all(followers.map((each) => each.stop())));
  expect(faultsOf(scene)).toEqual([]);

  const marks = promised(scene);
  const written = [...marks.values()].map((mark) => ({ entity: entityOf(mark), mark }));
  const readings = [ledger, ...followers.map(({ told }) => told)].map((events) =>
    events.map((event) => {
      const mark = markOf(event, marks);
      return { seq: event.seq, entity: entityOf(mark), mark };
    }),
  );
  expect(findFaults(written, readings)).toEqual([]);
  for (const { told } of followers) expect(differences(told, ledger)).toEqual([]);
  const stored = await database.query<{ id: string }>('SELECT id FROM jobs');
  expect(stored.map(({ id }) => id).toSorted()).toEqual([...marks.keys()].toSorted());
  expect(fleet.servers.flatMap(({ lines }) => lines.filter(({ event }) => event === 'internal_error'))).toEqual([]);
}

/** The mark of the job whose submission an event tells. There are no other events. */
function markOf({ type, job_id: id }: RestEvent, marks: ReadonlyMap<string, string>): string {
  return (type === 'JobQueued' && marks.get(id ?? '')) || `${type} of ${id}`;
}

/** A client submits a job when it has the answer to the one before, so that the events of its jobs must be in order. */
function entityOf(mark: string): string {
  return mark.slice(0, mark.lastIndexOf('-'));
}

/** The first few events that are not as in the ledger. */
function differences(told: readonly RestEvent[], ledger: readonly RestEvent[]): string[] {
  const [one, other] = [told, ledger].map((events) => events.map((event) => JSON.stringify(event))) as [
    string[],
    string[],
  ];
  const longer = one.length > other.length ? one : other;
  return longer
    .flatMap((_, index) => (one[index] === other[index] ? [] : `${one[index]} instead of ${other[index]}`))
    .slice(0, 3);
}

test('kill -9 of servers, one and several, again and again', async () => {
  const scene = await setUp(await makeDatabase(), 3);
  const { fleet, followers } = scene;
  for (const places of [[0], [1, 2], [0, 1, 2]]) {
    await progress(scene, randomInt(20, 60));
    await Promise.all(places.map(fleet.kill));
    if (fleet.urls().length > 0) await progress(scene, 20);
    await Promise.all(places.map(fleet.start));
  }
  await expectKept(scene);
  for (const { streams } of followers) expect(streams).toBeGreaterThan(2);
});

test('a server that SIGSTOP stops in mid work holds nobody up', async () => {
  const scene = await setUp(await makeDatabase(), 3);
  const { fleet, followers, submitters, besides } = scene;
  for (let round = 0; round < asOften(6); round++) {
    await progress(scene, randomInt(5, 30));
    const place = round % 3;
    const others = followers.filter(({ url }) => url !== fleet.url(place));
    expect(others.length).toBeGreaterThan(0);
    await fleet.pause(place);
    submitters.forEach((each) => each.losePatience());
    const { id } = await createJobsClient(fleet.urls()[0] ?? '').submit({ kind: 'build' });
    besides.set(id, `besides-${round}`);
    await until('the readers of the others have been told of it', () =>
      others.every(({ told }) => told.some((event) => event.job_id === id)),
    );
    expect(fleet.isPaused(place)).toBe(true);
    fleet.resume(place);
  }
  await expectKept(scene);
});

test('while somebody holds the fence, writers go on and nothing is told; then everything', async () => {
  const scene = await setUp(await makeDatabase(), 3);
  const { database, fleet, followers } = scene;
  await progress(scene, 20);
  const holder = new pg.Client({ connectionString: database.url });
  onTestFinished(() => holder.end());
  await holder.connect();
  await holder.query('BEGIN');
  const { rows } = await holder.query<{ head: number }>('SELECT seq::int AS head FROM events_head FOR UPDATE');
  const head = rows[0]?.head ?? 0;
  await until('the sequencers of all servers stand before it', async () => {
    const [row] = await database.query<{ count: number }>(
      `SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database()
       AND application_name = 'muster' AND wait_event_type = 'Lock' AND query LIKE '%number_events%'`,
    );
    return row !== undefined && row.count >= fleet.servers.length;
  });
  const before = countOf(scene);
  await until('more is promised', () => countOf(scene) >= before + 100);
  expect(await database.query('SELECT max(seq)::int AS head FROM events')).toEqual([{ head }]);
  expect(followers.map(lastOf).filter((last) => last > head)).toEqual([]);
  await holder.query('ROLLBACK');
  await expectKept(scene);
});

test('backends that are terminated at random, many times', async () => {
  const scene = await setUp(await startOwnPostgres(), 3);
  const victims: string[] = [];
  for (let strike = 0; strike < asOften(8); strike++) {
    // There are few of those that listen: chance alone would spare them all in one run of some hundred.
    const first = strike % 4 === 0 ? 'muster listen' : 'any';
    const rows = await scene.database.query<{ name: string }>(
      `SELECT application_name AS name, pg_terminate_backend(pid) FROM (
         SELECT pid, application_name FROM pg_stat_activity WHERE datname = current_database()
         AND pid <> pg_backend_pid() AND application_name LIKE 'muster%' ORDER BY application_name <> $2, random() LIMIT $1
       ) v`,
      [randomInt(1, 12), first],
    );
    victims.push(...rows.map(({ name }) => name));
    await progress(scene, randomInt(1, 20));
  }
  await expectKept(scene);
  expect(victims.length).toBeGreaterThan(8);
  expect(new Set(victims)).toEqual(new Set(['muster', 'muster listen']));
});

test('a Postgres that is stopped, fast and immediately, and started again: servers stay and go on', async () => {
  const postgres = await startOwnPostgres();
  const scene = await setUp(postgres, 2);
  const { fleet } = scene;
  const everyoneSays = (status: number): Promise<boolean> =>
    until(`/readyz of every server says ${status}`, async () => {
      const answers = await Promise.all(fleet.urls().map((url) => rest(url, 'GET', '/readyz')));
      return answers.every((answer) => answer.status === status);
    });
  for (const stop of [postgres.stopFast, postgres.stopImmediately, postgres.stopImmediately, postgres.stopFast]) {
    await progress(scene, randomInt(20, 60));
    await stop();
    await everyoneSays(503);
    await postgres.start();
    await everyoneSays(200);
  }
  await expectKept(scene);
});
