import { execFile } from 'node:child_process';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { migrations } from '../../src/migrations/index.js';
import { lockDataDir } from '../../src/platform/data-dir.js';
import { createDatabase } from '../../src/platform/db/db.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/platform/db/embedded.js';
import { migrate } from '../../src/platform/db/migrate.js';
import { createLog, type Log } from '../../src/platform/log.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The real Postgres that all test files share; each test server has a database of its own in it. */
    postgres: {
      readonly host: string;
      readonly port: number;
      readonly user: string;
      readonly database: string;
      /** The name of a database that has been migrated and is never connected to, to be copied. */
      readonly migrated: string;
    };
    /** A folder with the cluster of an embedded Postgres, as its first start and stop leave it, to be copied. */
    cluster: string;
  }
}

/** One embedded Postgres for the whole run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(path.join(await scratchDir(), 'muster-test-'));
  const log = createLog('error');
  const lock = await lockDataDir(dataDir, log);
  // Many servers with a pool each. Nothing here outlives a loss of power, and without fsync what has been committed still
  // outlives every kill -9: the kernel has it. The tests of the embedded Postgres start it as the product does.
  const settings = { max_connections: '400', fsync: 'off', full_page_writes: 'off', max_wal_size: '512MB' };
  await (await startEmbeddedPostgres({ dataDir, log })).stop();
  const cluster = path.join(dataDir, 'cluster');
  await promisify(execFile)('cp', ['-a', path.join(dataDir, 'postgres'), cluster]);
  project.provide('cluster', cluster);
  const postgres = await startEmbeddedPostgres({ dataDir, log, settings });
  project.provide('postgres', { ...postgres.connection, migrated: await makeMigrated(postgres, log) });
  return async () => {
    await postgres.stop();
    await lock.release();
    await rm(dataDir, { recursive: true, force: true });
  };
}

/**
 * Where it is kept: in memory, where the system has a place for that with enough room. A database is some 300 files, and ext4 takes
 * up to ten times as long to make them while it remembers those of databases that have just been dropped.
 */
async function scratchDir(): Promise<string> {
  const memory = '/dev/shm';
  const { type, bsize, bavail } = await statfs(memory).catch(() => ({ type: 0, bsize: 0, bavail: 0 }));
  return type === tmpfs && bsize * bavail > leastRoom ? memory : tmpdir();
}

/** As Linux numbers its file systems. */
const tmpfs = 0x01021994;
/** In bytes: of the log, and of what databases there are at a time. */
const leastRoom = 2 ** 31;

async function makeMigrated({ connection }: EmbeddedPostgres, log: Log): Promise<string> {
  const name = 'muster_migrated';
  const client = new pg.Client(connection);
  await client.connect();
  await client.query(`CREATE DATABASE ${name}`);
  await client.end();
  const made = { ...connection, database: name };
  const db = createDatabase(made, { poolSize: 1, log, ownSessions: true });
  await migrate(db, made, migrations);
  await db.close();
  return name;
}
