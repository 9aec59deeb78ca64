import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../log.js';
import { findBinaries, type PostgresBinaries } from './embedded-binaries.js';
import * as clusters from './embedded-cluster.js';
import { chooseRootLauncher, createPlainLauncher, findStandIn, giveTo, versionOf } from './embedded-launcher.js';
import type { Launcher, Owner } from './embedded-launcher.js';
import { endOrphans, readPidFile } from './embedded-orphans.js';
import { startPostmaster } from './embedded-postmaster.js';
import { createSocketDir, port, removeSocketDir } from './embedded-socket.js';

export interface EmbeddedPostgres {
  /** For pg and knex: `host` is the directory of the Unix socket; `ssl` keeps them from heeding PGSSLMODE. */
  readonly connection: { host: string; port: number; user: string; database: string; ssl: false };
  /** Resolves with the reason when Postgres ends without `stop()` having been called. */
  readonly crashed: Promise<string>;
  /** Fast shutdown; after 10 s immediate shutdown; never hangs. Idempotent. */
  stop(): Promise<void>;
}

export interface EmbeddedPostgresOptions {
  /** A directory whose lock (lockDataDir) this process holds: any Postgres found running in it is ended. */
  readonly dataDir: string;
  readonly log: Log;
  /** Settings of postgresql.conf, over those below. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Other programs than those that npm installed. */
  readonly binaries?: PostgresBinaries;
}

/** Muster's role and its database. The role may make databases (for tests) and read statistics, and is no superuser. */
const name = 'muster';

/**
 * For one small server with a busy queue. What makes a commit durable (fsync, full_page_writes, synchronous_commit)
 * is left as Postgres has it. How often a table is vacuumed is an option of that table.
 */
const defaults: Readonly<Record<string, string>> = {
  cluster_name: name,
  max_connections: '100',
  shared_buffers: '128MB',
  // Fewer checkpoints, and so fewer full pages in the log; the segments of a burst are kept for the next one.
  max_wal_size: '2GB',
  min_wal_size: '256MB',
  checkpoint_timeout: '15min',
  // A queue turns its rows over in seconds.
  autovacuum_naptime: '15s',
  // Short statements on small tables: compiling them or sharing them out costs more than it saves.
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  random_page_cost: '1.1',
  // Four idle processes less: the readers ahead (our tables are in memory) and logical replication.
  io_method: 'sync',
  max_logical_replication_workers: '0',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

/**
 * Starts the Postgres of a data directory; makes its cluster in `<dataDir>/postgres` first where there is none.
 *
 * Also right after a kill -9 of the server (its Postgres still runs: it is ended first), of both (Postgres recovers),
 * or of the first start while it made the cluster (that is begun anew). As root it runs Postgres as the owner of the
 * cluster; a new cluster is given to the user `postgres`, or else `nobody`.
 *
 * @throws AppError `unavailable` with what to do about it.
 */
export async function startEmbeddedPostgres(o: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  try {
    return await start(o);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError('unavailable', `The embedded Postgres did not start: ${messageOf(error)}`, { cause: error });
  }
}

async function start(o: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const began = performance.now();
  const dataDir = await realpath(o.dataDir);
  const cluster = join(dataDir, 'postgres');
  const binaries = o.binaries ?? (await findBinaries());
  const version = await versionOf(binaries);
  const found = await clusters.inspectCluster(cluster);
  if (found.state === 'present') clusters.requireSameMajor(cluster, found.major, version);

  const owner = await ownerFor(cluster, found);
  const before = await readPidFile(cluster);
  await endOrphans(cluster, o.log);
  if (before?.socketDir !== undefined) await removeSocketDir(dataDir, before.socketDir);
  await clusters.removeDrafts(cluster);

  const host = await createSocketDir(dataDir);
  try {
    await giveTo(owner, host);
    const launcher =
      owner === undefined
        ? createPlainLauncher()
        : await chooseRootLauncher(owner, binaries, placesOf(found, dataDir, cluster, host), o.log);
    if (found.state === 'absent') await clusters.createCluster(cluster, binaries, launcher);
    const postmaster = await startPostmaster({
      cluster,
      binaries,
      launcher,
      log: o.log,
      settings: { ...defaults, ...o.settings, ...(await ruledSettings(cluster, launcher, host)) },
    });
    const connection = { host, port, user: name, database: name, ssl: false as const };
    try {
      await prepareDatabase(host);
    } catch (error) {
      await postmaster.stop();
      throw error;
    }
    o.log.info('postgres_started', {
      version,
      ms: Math.round(performance.now() - began),
      created: found.state === 'absent',
    });
    return {
      connection,
      crashed: postmaster.crashed,
      async stop() {
        await postmaster.stop();
        await removeSocketDir(dataDir, host);
      },
    };
  } catch (error) {
    await removeSocketDir(dataDir, host);
    throw error;
  }
}

/** Settings that are no choice: what keeps this Postgres private and its words readable. */
async function ruledSettings(cluster: string, launcher: Launcher, host: string): Promise<Record<string, string>> {
  return {
    ...(await clusters.writeAccessRules(cluster, launcher.owner)),
    port: String(port),
    listen_addresses: '',
    // A list, in which a quoted name may hold commas and spaces.
    unix_socket_directories: `"${host.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_line_prefix: '[%p] ',
    lc_messages: 'C',
  };
}

function placesOf(found: clusters.ClusterState, dataDir: string, cluster: string, host: string): string[] {
  return found.state === 'present' ? [dataDir, host, cluster] : [dataDir, host];
}

/** Whom Postgres is to run as where this process is root; undefined where it is not. */
async function ownerFor(cluster: string, found: clusters.ClusterState): Promise<Owner | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  if (found.state === 'present' && found.owner.uid !== 0) return found.owner;
  const owner = await findStandIn();
  if (found.state === 'present') await clusters.takeOver(cluster, owner);
  return owner;
}

/** Makes the role and the database; both at the first start, or what is missing after an interrupted one. */
async function prepareDatabase(host: string): Promise<void> {
  const client = new pg.Client({ host, port, user: clusters.superuser, database: 'postgres', ssl: false });
  client.on('error', () => undefined); // what happened is told to the query at hand
  try {
    await client.connect();
    const { rows } = await client.query<{ role: boolean; database: boolean }>(
      `select exists (select from pg_roles where rolname = $1) as role,
              exists (select from pg_database where datname = $1) as database`,
      [name],
    );
    if (rows[0]?.role !== true) {
      await client.query(`begin; create role ${name} login createdb; grant pg_monitor to ${name}; commit`);
    }
    if (rows[0]?.database !== true) await client.query(`create database ${name} owner ${name}`);
  } finally {
    await client.end().catch(() => undefined);
  }
}
