import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
} from 'node:fs';
import { rmSync, statSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '../../src/errors.js';
import { findBinaries } from '../../src/platform/db/embedded-binaries.js';
import { startEmbeddedPostgres, type EmbeddedPostgres } from '../../src/platform/db/embedded.js';
import { layCluster } from '../support/cluster.js';
import { useChildren } from './support/children.js';
import { copyPackage } from './support/package-copy.js';
import { createRecordingLog } from './support/recording-log.js';

const isRoot = process.geteuid?.() === 0;
const spawnChild = useChildren();
let log = createRecordingLog();
let temp = '';
let dataDir = '';
const running: EmbeddedPostgres[] = [];
const helpers: ChildProcess[] = [];

beforeEach(() => {
  log = createRecordingLog();
  // As root this is a place that nobody else can enter: mode 0700.
  temp = realpathSync(mkdtempSync(join(tmpdir(), 'muster-test-')));
  dataDir = join(temp, 'data');
  mkdirSync(dataDir, { mode: 0o700 });
});
afterEach(async () => {
  for (const postgres of running.splice(0)) await postgres.stop();
  for (const helper of helpers.splice(0)) helper.kill('SIGKILL');
  rmSync(temp, { recursive: true, force: true });
});

async function start(o: Partial<Parameters<typeof startEmbeddedPostgres>[0]> = {}): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, log, ...o });
  running.push(postgres);
  return postgres;
}

async function failure(o: Partial<Parameters<typeof startEmbeddedPostgres>[0]> = {}): Promise<AppError> {
  const error: unknown = await start(o).then(
    () => 'it started',
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw new Error(`no AppError but ${String(error)}`);
  expect(error.kind).toBe('unavailable');
  return error;
}

async function query(postgres: EmbeddedPostgres, text: string): Promise<Record<string, unknown>> {
  const client = new pg.Client(postgres.connection);
  try {
    await client.connect();
    const { rows } = await client.query<Record<string, unknown>>(text);
    return rows[0] ?? {};
  } finally {
    await client.end();
  }
}

const pidFile = (dir = dataDir): string => join(dir, 'postgres', 'postmaster.pid');
const postmasterOf = (dir = dataDir): number => Number(readFileSync(pidFile(dir), 'utf8').split('\n')[0]);

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Processor time that a process has taken so far, in ticks of about 10 ms (fields 14 and 15 of proc(5)'s stat). */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

async function end(pid: number): Promise<void> {
  while (isAlive(pid)) await sleep(5);
}

/** A process of the user that Postgres runs as, which is none of Postgres. */
function spawnBystander(): number {
  const { uid, gid } = statSync(join(dataDir, 'postgres'));
  const bystander = spawn('sleep', ['1000'], isRoot ? { uid, gid } : {});
  helpers.push(bystander);
  return bystander.pid ?? 0;
}

describe('startEmbeddedPostgres', { timeout: 60_000 }, () => {
  it('makes a private, durable cluster and keeps it over a second start', async () => {
    const first = await start();
    const { host } = first.connection;
    expect(first.connection).toEqual({
      host: join(dataDir, 'socket'),
      port: 5432,
      user: 'muster',
      database: 'muster',
      ssl: false,
    });
    expect(statSync(host).mode & 0o777).toBe(0o700);
    expect(statSync(join(dataDir, 'postgres')).mode & 0o777).toBe(0o700);
    const facts = await query(
      first,
      `select current_setting('listen_addresses') as tcp, current_setting('fsync') as fsync,
              current_setting('synchronous_commit') as commit, current_setting('full_page_writes') as pages,
              current_setting('data_checksums') as checksums, current_setting('is_superuser') as super,
              current_setting('TimeZone') as zone, upper('ünï') as upper,
              (select pg_encoding_to_char(encoding) || ' ' || datlocprovider::text || ' ' || datlocale
                 from pg_database where datname = 'muster') as locale`,
    );
    expect(facts).toEqual({
      tcp: '',
      fsync: 'on',
      commit: 'on',
      pages: 'on',
      checksums: 'on',
      super: 'off',
      zone: 'UTC',
      upper: 'ÜNÏ',
      locale: 'UTF8 b C.UTF-8',
    });
    await query(first, 'create table kept as select 42 as n');
    await query(first, 'create database another');
    await first.stop();
    await first.stop();
    expect(existsSync(pidFile())).toBe(false);
    expect(existsSync(host)).toBe(false);

    const second = await start({ settings: { shared_buffers: '16MB', listen_addresses: '127.0.0.1' } });
    expect(await query(second, 'select n from kept')).toEqual({ n: 42 });
    const settings = `select current_setting('shared_buffers') as buffers, current_setting('listen_addresses') as tcp`;
    expect(await query(second, settings)).toEqual({ buffers: '16MB', tcp: '' });
    expect(log.lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  });

  it('stops with connections open and a statement under way', async () => {
    layCluster(dataDir);
    const postgres = await start();
    const client = new pg.Client(postgres.connection);
    client.on('error', () => undefined);
    await client.connect();
    await client.query('select 1');
    const cut = client.query('select pg_sleep(1000)').catch((error: unknown) => error);
    await postgres.stop();
    expect(await cut).toBeInstanceOf(Error);
    expect(log.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });

  describe('after a crash', () => {
    beforeEach(() => layCluster(dataDir));

    it('ends the Postgres that a killed server left running', async () => {
      const child = spawnChild('postgres-child', { args: [dataDir] });
      const orphan = Number((await child.said())['postmaster']);
      child.tell('create table kept as select 42 as n');
      await child.said();
      process.kill(child.pid, 'SIGKILL');
      await child.exit;
      expect(isAlive(orphan)).toBe(true);

      const postgres = await start();
      expect(isAlive(orphan)).toBe(false);
      expect(log.lines).toContainEqual(expect.objectContaining({ level: 'warn', event: 'postgres_orphan' }));
      expect(await query(postgres, 'select n from kept')).toEqual({ n: 42 });
    });

    it('recovers when both were killed', async () => {
      const child = spawnChild('postgres-child', { args: [dataDir] });
      const postmaster = Number((await child.said())['postmaster']);
      child.tell('create table kept as select 42 as n');
      await child.said();
      process.kill(postmaster, 'SIGKILL');
      process.kill(child.pid, 'SIGKILL');
      await child.exit;
      expect(existsSync(pidFile())).toBe(true);
      expect(await query(await start(), 'select n from kept')).toEqual({ n: 42 });
    });

    it('ends a backend that outlived its postmaster', async () => {
      const child = spawnChild('postgres-child', { args: [dataDir] });
      const postmaster = Number((await child.said())['postmaster']);
      child.tell('select pg_backend_pid() as pid');
      const { rows } = (await child.said()) as { rows: [{ pid: number }] };
      // A busy backend never looks whether its postmaster lives. Running is not busy enough: it may be about to wait for
      // this very statement.
      child.tell('do $$ begin loop end loop; end $$');
      const backend = rows[0].pid;
      while (cpuTicks(backend) < 20) await sleep(5);
      process.kill(postmaster, 'SIGKILL');
      process.kill(child.pid, 'SIGKILL');
      await child.exit;
      expect(isAlive(backend)).toBe(true);
      expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
      expect(isAlive(backend)).toBe(false);
    });

    it('leaves no Postgres behind when the server ends without stopping it', async () => {
      const child = spawnChild('postgres-child', { args: [dataDir] });
      const postmaster = Number((await child.said())['postmaster']);
      child.tell('exit');
      expect(await child.exit).toEqual({ code: 3, signal: null });
      await end(postmaster);
    });

    it('tells that Postgres ended by itself', async () => {
      const postgres = await start();
      process.kill(postmasterOf(), 'SIGKILL');
      expect(await postgres.crashed).toContain('SIGKILL');
      await postgres.stop();
      expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
    });

    it('starts with a stale pid that now belongs to somebody else, whom it leaves alone', async () => {
      const bystander = spawnBystander();
      const words = [
        bystander,
        join(dataDir, 'postgres'),
        1700000000,
        5432,
        join(dataDir, 'socket'),
        '',
        '  1  2',
        'ready   ',
      ];
      writeFileSync(pidFile(), `${words.join('\n')}\n`);
      expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
      expect(isAlive(bystander)).toBe(true);
    });

    it('leaves the Postgres of another cluster alone, whatever the pid file says', async () => {
      const otherDir = join(temp, 'other');
      mkdirSync(otherDir);
      layCluster(otherDir);
      const other = await start({ dataDir: otherDir });
      writeFileSync(pidFile(), readFileSync(pidFile(otherDir)));
      const postgres = await start();
      expect(await query(postgres, 'select 1 as n')).toEqual({ n: 1 });
      expect(await query(other, 'select 2 as n')).toEqual({ n: 2 });
    });

    it('starts over an empty pid file and the socket of a dead server', async () => {
      writeFileSync(pidFile(), '');
      const socketDir = join(dataDir, 'socket');
      mkdirSync(socketDir);
      writeFileSync(join(socketDir, '.s.PGSQL.5432'), '');
      writeFileSync(join(socketDir, '.s.PGSQL.5432.lock'), `${spawnBystander()}\n`);
      expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
    });
  });

  describe('making the cluster', () => {
    it('begins anew after being killed in the middle', async () => {
      const draft = new Promise<string>((done) => {
        const watcher = watch(dataDir, (_, name) => {
          if (name?.startsWith('postgres.init-') !== true) return;
          watcher.close();
          done(name);
        });
      });
      const child = spawnChild('postgres-child', { args: [dataDir] });
      const half = join(dataDir, await draft);
      while (!existsSync(join(half, 'PG_VERSION'))) await sleep(1);
      process.kill(child.pid, 'SIGKILL');
      await child.exit;
      expect(existsSync(join(dataDir, 'postgres'))).toBe(false);
      expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
      expect(existsSync(half)).toBe(false);
    });

    it('leaves nothing behind when the disk refuses a file, and says so', async () => {
      const real = await findBinaries();
      const initdb = join(temp, 'initdb');
      writeFileSync(initdb, `#!/bin/sh\nulimit -f 200\nexec '${real.initdb}' "$@"\n`, { mode: 0o755 });
      expect((await failure({ binaries: { ...real, initdb } })).message).toMatch(
        /initdb.*(too large|File size limit)/s,
      );
      expect(readdirSync(dataDir)).toEqual([]);
      expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
    });

    it('finishes a first start that ended before the database was made', async () => {
      layCluster(dataDir);
      const postgres = await start();
      const client = new pg.Client({ ...postgres.connection, user: 'postgres', database: 'postgres' });
      await client.connect();
      await client.query('drop database muster');
      await client.query('drop role muster');
      await client.end();
      await postgres.stop();
      expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
    });

    it('refuses a directory that holds something else', async () => {
      mkdirSync(join(dataDir, 'postgres'));
      writeFileSync(join(dataDir, 'postgres', 'letter.txt'), 'dear');
      expect((await failure()).message).toContain('no cluster of Postgres');
      expect(readdirSync(join(dataDir, 'postgres'))).toEqual(['letter.txt']);
    });
  });

  it('refuses the cluster of another version and touches nothing', async () => {
    layCluster(dataDir);
    writeFileSync(join(dataDir, 'postgres', 'PG_VERSION'), '17\n');
    const look = (): string => execFileSync('find', [dataDir, '-printf', '%p %m %U %s %T@\n'], { encoding: 'utf8' });
    const before = look();
    const { message, details } = await failure();
    expect(message).toMatch(/PostgreSQL 17.*PostgreSQL 18.*pg_dump/s);
    expect(details).toMatchObject({ cluster: '17' });
    expect(look()).toBe(before);
  });

  it('quotes Postgres when it does not start, and starts once the reason is gone', async () => {
    layCluster(dataDir);
    const { message } = await failure({ settings: { shared_buffers: 'plenty' } });
    expect(message).toContain('invalid value for parameter "shared_buffers": "plenty"');
    expect(log.lines).toContainEqual(expect.objectContaining({ level: 'error', event: 'postgres' }));
    expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
  });

  it('logs what Postgres says, FATAL as an error, and no rows', async () => {
    layCluster(dataDir);
    const postgres = await start();
    await query(postgres, 'create table single (word text primary key)');
    await query(postgres, `insert into single values ('secret')`);
    await expect(query(postgres, `insert into single values ('secret')`)).rejects.toThrow('duplicate');
    const client = new pg.Client({ ...postgres.connection, database: 'nowhere' });
    await expect(client.connect()).rejects.toThrow('does not exist');
    const line = await log.seen(({ level, event }) => level === 'error' && event === 'postgres');
    expect(line.fields['message']).toContain('database "nowhere" does not exist');
    expect(log.lines).toContainEqual(expect.objectContaining({ level: 'debug', event: 'postgres' }));
    expect(JSON.stringify(log.lines)).not.toContain('secret');
  });

  it('heeds none of the variables that are meant for other Postgres clients', async () => {
    const child = spawnChild('postgres-child', {
      args: [dataDir],
      env: { PGSSLMODE: 'require', PGHOST: '10.0.0.1', PGPORT: '1', PGDATA: '/', PGUSER: 'x', LC_ALL: 'de_DE.UTF-8' },
    });
    expect(await child.said()).toEqual({ postmaster: expect.any(Number) });
    child.tell('select current_user as user');
    expect(await child.said()).toEqual({ rows: [{ user: 'muster' }] });
    child.tell('stop');
    expect(await child.said()).toEqual({ stopped: true });
  });

  it('outlives a Ctrl-C at the terminal until the server stops it', async () => {
    layCluster(dataDir);
    const child = spawnChild('postgres-child', { args: [dataDir] });
    const postmaster = Number((await child.said())['postmaster']);
    process.kill(-child.pid, 'SIGINT'); // the whole group, as a terminal does
    expect(await child.said()).toEqual({ interrupted: true });
    child.tell('select 7 as n');
    expect(await child.said()).toEqual({ rows: [{ n: 7 }] });
    child.tell('stop');
    expect(await child.said()).toEqual({ stopped: true });
    expect(isAlive(postmaster)).toBe(false);
  });

  it('takes a data directory with spaces, quotes, commas and Unicode', async () => {
    const dir = join(temp, `a "b", c'd 雪 $HOME`);
    mkdirSync(dir);
    const postgres = await start({ dataDir: dir });
    expect(postgres.connection.host).toBe(join(dir, 'socket'));
    expect(await query(postgres, 'select 1 as n')).toEqual({ n: 1 });
  });

  it('puts the socket elsewhere when the path is too long for one, and removes it', async () => {
    const dir = join(temp, 'long'.repeat(50));
    mkdirSync(dir);
    layCluster(dir);
    const child = spawnChild('postgres-child', { args: [dir] });
    const postmaster = Number((await child.said())['postmaster']);
    const left = readFileSync(pidFile(dir), 'utf8').split('\n')[4] ?? '';
    process.kill(postmaster, 'SIGKILL');
    process.kill(child.pid, 'SIGKILL');
    await child.exit;

    const postgres = await start({ dataDir: dir });
    const { host } = postgres.connection;
    expect(host.startsWith(join(tmpdir(), 'muster-pg-'))).toBe(true);
    expect(statSync(host).mode & 0o777).toBe(0o700);
    expect(await query(postgres, 'select 1 as n')).toEqual({ n: 1 });
    expect(existsSync(left)).toBe(false);
    await postgres.stop();
    expect(existsSync(host)).toBe(false);
  });

  describe.runIf(isRoot)('as root', () => {
    it('runs as another user, without any capability where that user may enter all directories', async () => {
      layCluster(dataDir);
      chmodSync(temp, 0o755);
      chmodSync(dataDir, 0o711);
      await start();
      const status = readFileSync(`/proc/${postmasterOf()}/status`, 'utf8');
      expect(status).toMatch(/^Uid:\t(?!0\t)/m);
      expect(status).toMatch(/^CapPrm:\t0+$/m);
      expect(status).toMatch(/^CapInh:\t0+$/m);
      expect(status).toMatch(/^Groups:\t *$/m);
    });

    it('runs from programs and data below a directory that only root may enter, with missing library links', async () => {
      const root = copyPackage(join(temp, 'home'));
      const binaries = await findBinaries(join(temp, 'home', 'server.js'));
      expect(binaries.postgres.startsWith(root)).toBe(true);
      const postgres = await start({ binaries });
      expect(await query(postgres, `select to_tsvector('english', 'running') @@ 'run'::tsquery as n`)).toEqual({
        n: true,
      });
      const status = readFileSync(`/proc/${postmasterOf()}/status`, 'utf8');
      expect(status).toMatch(/^Uid:\t(?!0\t)/m);
      expect(status).toMatch(/^CapEff:\t0{15}[24]$/m); // dac_override or dac_read_search, and nothing else
      expect(statSync(temp).mode & 0o777).toBe(0o700);
      expect(statSync(dataDir).mode & 0o777).toBe(0o700);
    });

    it('lets no other user in, not even the one that Postgres runs as', async () => {
      layCluster(dataDir);
      chmodSync(temp, 0o755);
      chmodSync(dataDir, 0o711);
      const postgres = await start();
      const { uid, gid } = statSync(join(dataDir, 'postgres'));
      const script = `new (require('pg').Client)(${JSON.stringify({ ...postgres.connection, user: 'postgres' })}).connect()
        .then(() => console.log('in'), (error) => console.log(error.message))`;
      const cwd = join(import.meta.dirname, '..', '..');
      const said = execFileSync(process.execPath, ['-e', script], { uid, gid, cwd, encoding: 'utf8' });
      expect(said).toContain('authentication failed');
    });

    it('takes back a cluster that was copied as root', async () => {
      layCluster(dataDir);
      execFileSync('chown', ['-R', '0:0', join(dataDir, 'postgres')]);
      expect(await query(await start(), 'select 1 as n')).toEqual({ n: 1 });
    });

    it('says what to do where Postgres cannot be reached as another user', async () => {
      const real = await findBinaries();
      // Programs that only root may run, and no capability helps: they are not programs at all to anybody else.
      const initdb = join(temp, 'initdb');
      writeFileSync(initdb, `#!/bin/sh\n[ "$(id -u)" = 0 ] && exec '${real.initdb}' "$@"\nexit 1\n`, { mode: 0o755 });
      const { message } = await failure({ binaries: { ...real, initdb } });
      expect(message).toMatch(/root.*MUSTER_DATA_DIR.*DATABASE_URL/s);
      expect(readdirSync(dataDir)).toEqual([]);
    });

    it('serves an ordinary user, and root the cluster of that user without taking it away', async () => {
      chmodSync(temp, 0o755);
      chownSync(dataDir, 65534, 65534);
      const run = async (user: object): Promise<void> => {
        const child = spawnChild('postgres-child', { args: [dataDir], ...user });
        expect(await child.said()).toEqual({ postmaster: expect.any(Number) });
        child.tell('select 1 as n');
        expect(await child.said()).toEqual({ rows: [{ n: 1 }] });
        child.tell('stop');
        expect(await child.said()).toEqual({ stopped: true });
      };
      await run({ uid: 65534, gid: 65534 });
      await run({});
      await run({ uid: 65534, gid: 65534 });
    });
  });
});
