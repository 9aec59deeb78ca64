import { randomInt } from 'node:crypto';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startEmbeddedPostgres } from '../../../src/platform/db/embedded.js';
import { createLog } from '../../../src/platform/log.js';
import { makeTempDir, postgresOf, useBuiltServer } from '../../support/built-server.js';
import { createTestDatabase } from '../../support/database.js';
import { type RestEvent, wholeLedger } from '../../support/events-client.js';
import { createJobsClient } from '../../support/jobs-client.js';
import { rest } from '../../support/rest.js';
import { soon, until } from '../../support/until.js';
import { findFaults } from './support/checker.js';
import { type Fleet, startFleet } from './support/fleet.js';
import { type Follower, startFollower } from './support/follower.js';
import { startSubmitter, type Submitter } from './support/submitter.js';

const startServer = useBuiltServer();

/** Servers that work, clients that write to all of them, and readers who follow, each beginning at another server. */
interface Scene {
  readonly fleet: Fleet;
  readonly submitters: readonly Submitter[];
  readonly followers: readonly Follower[];
  /** The marks of jobs that a test submitted besides, by their ids. */
  readonly besides: Map<string, string>;
}

async function setUp(databaseUrl: string, servers: number): Promise<Scene> {
  const fleet = await startFleet(startServer, databaseUrl, servers);
  const followers = Array.from({ length: servers + 1 }, (_, n) => startFollower(fleet.urls, n));
  const submitters = Array.from({ length: 4 }, (_, n) => startSubmitter(fleet.urls, `client${n}`));
  return { fleet, submitters, followers, besides: new Map() };
}

async function makeDatabase() {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  return database;
}

function acknowledgedBy({ submitters, besides }: Scene): Map<string, string> {
  const marks = new Map(besides);
  for (const { acknowledged } of submitters) for (const [mark, id] of acknowledged) marks.set(id, mark);
  return marks;
}

const faultsOf = ({ submitters, followers }: Scene): string[] =>
  [...submitters, ...followers].flatMap(({ faults }) => faults);

const lastOf = ({ told }: Follower): number => told.at(-1)?.seq ?? 0;

/** Waits until clients have been promised so many more jobs, and every reader has been told of as many as there had been. */
async function progress(scene: Scene, jobs: number): Promise<void> {
  const before = acknowledgedBy(scene).size;
  await until('work goes on', () => {
    expect(faultsOf(scene)).toEqual([]);
    return acknowledgedBy(scene).size >= before + jobs && scene.followers.every((each) => lastOf(each) >= before);
  });
}

/** What the promise comes to: everybody was told the same whole story, in order, and it is that of what was acknowledged. */
async function expectKept(scene: Scene, jobIds: () => Promise<readonly string[]>): Promise<void> {
  const { fleet, submitters, followers } = scene;
  await soon('the clients to end', Promise.all(submitters.map((each) => each.stop())));
  const ledger = await wholeLedger(fleet.urls()[0] ?? '');
  const end = ledger.at(-1)?.seq ?? 0;
  await until('everybody has been told everything', () => followers.every((each) => lastOf(each) >= end));
  await Promise.all(followers.map((each) => each.stop()));
  expect(faultsOf(scene)).toEqual([]);

  const marks = acknowledgedBy(scene);
  const written = [...marks.values()].map((mark) => ({ entity: entityOf(mark), mark }));
  const readings = [ledger, ...followers.map(({ told }) => told)].map((events) =>
    events.map((event) => {
      const mark = markOf(event, marks);
      return { seq: event.seq, entity: entityOf(mark), mark };
    }),
  );
  expect(findFaults(written, readings)).toEqual([]);
  for (const { told } of followers) expect(differences(told, ledger)).toEqual([]);
  expect((await jobIds()).toSorted()).toEqual([...marks.keys()].toSorted());
  const errors = fleet.servers.flatMap(({ lines }) => lines.filter(({ event }) => event === 'internal_error'));
  expect(errors).toEqual([]);
}

/** The mark of the job that is acknowledged by this event; nothing else should be told. */
function markOf({ type, job_id: id }: RestEvent, marks: ReadonlyMap<string, string>): string {
  if (type !== 'JobQueued') return `${type} of ${id}`;
  return marks.get(id ?? '') ?? `of the unknown job ${id}`;
}

/** A client waits for its answer before it submits the next job, so that its jobs are in order. */
function entityOf(mark: string): string {
  return mark.slice(0, mark.lastIndexOf('-'));
}

/** The first few events that are not as the ledger has them. */
function differences(told: readonly RestEvent[], ledger: readonly RestEvent[]): string[] {
  const texts = (events: readonly RestEvent[]): string[] => events.map((event) => JSON.stringify(event));
  const other = texts(ledger);
  return texts(told)
    .flatMap((text, index) => (text === other[index] ? [] : `${text} instead of ${other[index]}`))
    .slice(0, 3);
}

const allJobs = 'SELECT id FROM jobs';

test('servers that are killed with -9 again and again', async () => {
  const database = await makeDatabase();
  const scene = await setUp(database.url, 3);
  const { fleet, followers } = scene;
  for (const places of [[0], [1], [2], [0, 1], [2, 0], [0, 1, 2]]) {
    await progress(scene, randomInt(20, 60));
    await Promise.all(places.map(fleet.kill));
    if (fleet.urls().length > 0) await progress(scene, 20);
    await Promise.all(places.map(fleet.start));
  }
  await progress(scene, 20);
  await expectKept(scene, async () => (await database.query<{ id: string }>(allJobs)).map(({ id }) => id));
  expect(Math.min(...followers.map(({ streams }) => streams))).toBeGreaterThan(2);
});

test('a server that is stopped by SIGSTOP in mid work holds nobody up', async () => {
  const database = await makeDatabase();
  const scene = await setUp(database.url, 3);
  const { fleet, followers, submitters, besides } = scene;
  for (let round = 0; round < 15; round++) {
    await progress(scene, randomInt(5, 30));
    const place = round % 3;
    const others = followers.filter(({ url }) => url !== fleet.url(place));
    expect(others.length).toBeGreaterThan(0);
    await fleet.pause(place);
    submitters.forEach((each) => each.losePatience());
    const { id } = await createJobsClient(fleet.urls()[0] ?? '').submit({ kind: 'build' });
    besides.set(id, `besides-${round}`);
    await until('the readers of the others have been told of it', () =>
      others.every(({ told }) => told.some(({ job_id: each }) => each === id)),
    );
    expect(fleet.isPaused(place)).toBe(true);
    fleet.resume(place);
  }
  await progress(scene, 20);
  await expectKept(scene, async () => (await database.query<{ id: string }>(allJobs)).map(({ id }) => id));
});

test('nothing is told while somebody holds the fence, and everything afterwards', async () => {
  const database = await makeDatabase();
  const scene = await setUp(database.url, 3);
  await progress(scene, 20);
  const holder = new pg.Client({ connectionString: database.url });
  onTestFinished(() => holder.end());
  await holder.connect();
  await holder.query('BEGIN');
  const { rows } = await holder.query<{ seq: string }>('SELECT seq FROM events_head FOR UPDATE');
  const head = Number(rows[0]?.seq);
  await until('a sequencer of each server stands before it', async () => {
    const [row] = await database.query<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE datname = current_database()
       AND application_name = 'muster' AND wait_event_type = 'Lock' AND query LIKE '%number_events%'`,
    );
    return row?.waiting === scene.fleet.servers.length;
  });
  // Writers never wait for it.
  const before = acknowledgedBy(scene).size;
  await until('clients are promised more', () => acknowledgedBy(scene).size >= before + 100);
  expect(scene.followers.filter((each) => lastOf(each) > head)).toEqual([]);
  const counted = await database.query('SELECT max(seq)::int AS last FROM events');
  expect(counted).toEqual([{ last: head }]);
  await holder.query('ROLLBACK');
  await progress(scene, 20);
  await expectKept(scene, async () => (await database.query<{ id: string }>(allJobs)).map(({ id }) => id));
});

test('backends that are terminated at random', async () => {
  const database = await makeDatabase();
  const scene = await setUp(database.url, 3);
  const struck = new Map<string, number>();
  for (let strike = 0; strike < 40; strike++) {
    const victims = await database.query<{ name: string }>(
      `SELECT application_name AS name, pg_terminate_backend(pid) FROM (
         SELECT pid, application_name FROM pg_stat_activity WHERE datname = current_database()
         AND pid <> pg_backend_pid() AND application_name LIKE 'muster%' ORDER BY random() LIMIT $1
       ) victims`,
      [randomInt(1, 12)],
    );
    for (const { name } of victims) struck.set(name, (struck.get(name) ?? 0) + 1);
    await progress(scene, randomInt(1, 20));
  }
  await expectKept(scene, async () => (await database.query<{ id: string }>(allJobs)).map(({ id }) => id));
  expect(struck.get('muster')).toBeGreaterThan(40);
  expect(struck.get('muster listen')).toBeGreaterThan(0);
});

describe('Postgres itself', () => {
  /** A Postgres of the test's own. */
  async function startOwnPostgres() {
    const dataDir = await makeTempDir();
    const start = () => startEmbeddedPostgres({ dataDir, log: createLog('silent') });
    let postgres = await start();
    onTestFinished(() => postgres.stop());
    const { host, port, user, database } = postgres.connection;
    return {
      url: `postgres:///${database}?host=${encodeURIComponent(host)}&port=${port}&user=${user}`,
      async start() {
        postgres = await start();
      },
      stop: {
        fast: () => postgres.stop(),
        /** As in a crash: what was not on disk is gone. */
        async immediate() {
          process.kill(postgresOf(dataDir) ?? 0, 'SIGQUIT');
          await soon('Postgres to end', postgres.crashed);
          await postgres.stop();
        },
      },
    };
  }

  async function ids(url: string): Promise<string[]> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query<{ id: string }>(allJobs);
    await client.end();
    return rows.map(({ id }) => id);
  }

  test('stopped and started again, fast and immediate: servers stay, and go on', async () => {
    const postgres = await startOwnPostgres();
    const scene = await setUp(postgres.url, 2);
    const urls = scene.fleet.urls();
    const allSay = (status: number) =>
      until(`all servers say ${status}`, async () => {
        const answers = await Promise.all(urls.map((url) => rest(url, 'GET', '/readyz')));
        return answers.every((answer) => answer.status === status);
      });
    for (const how of ['fast', 'immediate', 'immediate', 'fast'] as const) {
      await progress(scene, randomInt(20, 60));
      await postgres.stop[how]();
      await allSay(503);
      await postgres.start();
      await allSay(200);
    }
    await progress(scene, 20);
    await expectKept(scene, () => ids(postgres.url));
  });
});
