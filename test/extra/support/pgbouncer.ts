import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as dial, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import { createPlainLauncher, findStandIn, giveTo } from '../../../src/platform/db/embedded-launcher.js';
import type { TestDatabase } from '../../support/database.js';
import { soon } from '../../support/until.js';

/** A real PgBouncer in transaction mode in front of the Postgres of the tests. */
export interface PgBouncer {
  /** The same database, reached through it. */
  through(database: TestDatabase): TestDatabase;
  /** A connection of the caller's own through it, closed when the test has finished. */
  connect(database: TestDatabase): Promise<pg.Client>;
  /** What its console answers, such as to `SHOW CLIENTS`. */
  show(what: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

/** Part of the socket's name; nothing listens on it. */
const port = 6432;

/** `sessions`: how many connections to Postgres it shares out for each database. */
export async function startPgBouncer({ sessions }: { readonly sessions: number }): Promise<PgBouncer> {
  const postgres = inject('postgres');
  // As Postgres, it refuses to run as root.
  const launcher = createPlainLauncher(process.getuid?.() === 0 ? await findStandIn() : undefined);
  const dir = await mkdtemp(path.join(tmpdir(), 'muster-pgbouncer-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const inDir = (name: string): string => path.join(dir, name);
  const socket = `.s.PGSQL.${postgres.port}`;
  await openSideDoor(inDir(socket), path.join(postgres.host, socket));
  await writeFile(inDir('users.txt'), `"${postgres.user}" ""\n`);
  const settings = {
    listen_addr: '',
    listen_port: port,
    unix_socket_dir: dir,
    auth_type: 'trust',
    auth_file: inDir('users.txt'),
    admin_users: postgres.user,
    pool_mode: 'transaction',
    max_prepared_statements: 100,
    default_pool_size: sessions,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}`);
  const databases = ['[databases]', `* = host=${dir} port=${postgres.port}`];
  await writeFile(inDir('pgbouncer.ini'), [...databases, '[pgbouncer]', ...lines, ''].join('\n'));
  for (const name of ['.', socket, 'users.txt', 'pgbouncer.ini']) await giveTo(launcher.owner, inDir(name));
  await untilUp(launcher.launch('pgbouncer', [inDir('pgbouncer.ini')]));

  const urlOf = (database: string): string =>
    `postgres:///${database}?host=${encodeURIComponent(dir)}&port=${port}&user=${postgres.user}`;
  const connect = async (database: string): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: urlOf(database) });
    await client.connect();
    onTestFinished(() => client.end());
    return client;
  };
  return {
    through: (database) => ({ ...database, url: urlOf(database.name) }),
    connect: ({ name }) => connect(name),
    show: async (what) => (await (await connect('pgbouncer')).query<Record<string, unknown>>(`SHOW ${what}`)).rows,
  };
}

/** The Postgres of the tests lets in nobody but the user of this process, and PgBouncer may have to be another one. */
async function openSideDoor(from: string, to: string): Promise<void> {
  const sockets = new Set<Socket>();
  const door = createServer((caller) => {
    const postgres = dial(to);
    for (const [socket, other] of [
      [caller, postgres],
      [postgres, caller],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        other.destroy();
        sockets.delete(socket);
      });
      socket.pipe(other);
    }
  });
  await new Promise<void>((resolve) => door.listen(from, resolve));
  onTestFinished(() => {
    door.close();
    for (const socket of sockets) socket.destroy();
  });
}

/** Waits until it says that it serves, and sees to it that it is gone after the test. */
async function untilUp(child: ChildProcess): Promise<void> {
  let said = '';
  const exit = new Promise<void>((resolve) => child.once('close', () => resolve()).once('error', () => resolve()));
  const up = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('process up')) resolve();
    });
    void exit.then(() => reject(new Error(`PgBouncer ended: ${said}`)));
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  await soon('PgBouncer to come up', up);
}
