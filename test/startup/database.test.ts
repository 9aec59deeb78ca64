import { createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { migrations } from '../../src/migrations/index.js';
import { type ServerProcess, useBuiltServer } from '../support/built-server.js';
import { createEmptyDatabase } from '../support/database.js';
import { claimOne, createJobsClient } from '../support/jobs-client.js';
import { soon } from '../support/until.js';

const startServer = useBuiltServer();

async function makeDatabase() {
  const database = await createEmptyDatabase();
  onTestFinished(() => database.drop());
  return database;
}

async function refusal(server: ServerProcess): Promise<string> {
  expect(await soon('the refusal', server.exit)).toEqual({ code: 1, signal: null });
  // One line for a person, no stack.
  expect(server.stderr()).toMatch(/^muster: [^\n]+\n$/);
  return server.stderr();
}

test('two servers and a migration that start together on a fresh database migrate it once', async () => {
  const database = await makeDatabase();
  const servers = [startServer({ databaseUrl: database.url }), startServer({ databaseUrl: database.url })];
  const migration = startServer({ databaseUrl: database.url, args: ['migrate'] });
  const [here = '', there = ''] = await Promise.all(servers.map((server) => server.ready()));
  expect(await migration.exit).toEqual({ code: 0, signal: null });
  const taken = servers.flatMap(({ lines }) => lines.filter(({ event }) => event === 'migrated'));
  const byMigration = migration.lines.some(({ text }) => text === 'took 0001_jobs');
  expect(taken.length + Number(byMigration)).toBe(1);
  const steps = await database.query<{ name: string }>('SELECT name FROM muster_migrations');
  expect(steps.map(({ name }) => name)).toEqual(migrations.map(({ name }) => name));

  const { id } = await createJobsClient(here).submit({ kind: 'build' });
  expect(await claimOne(createJobsClient(there), { kinds: ['build'], wait_sec: 30 })).toMatchObject({ id });
});

describe('a database that cannot be used is a clear error', () => {
  test('when nobody listens', async () => {
    const url = 'postgres://muster:s3cret@127.0.0.1:9/muster';
    const said = await refusal(startServer({ databaseUrl: url }));
    expect(said).toContain('ECONNREFUSED 127.0.0.1:9');
    expect(said).not.toContain('s3cret');
  });

  test('when its name has several addresses', async () => {
    expect(await refusal(startServer({ databaseUrl: 'postgres://muster@localhost:9/muster' }))).toContain(
      'ECONNREFUSED',
    );
  });

  test('when who listens is no Postgres', async () => {
    const sockets = new Set<Socket>();
    const other = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).end('220 mail.example.com\r\n');
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    await refusal(startServer({ databaseUrl: `postgres://muster@127.0.0.1:${port}/muster` }));
  });

  test('when there is no such database', async () => {
    const database = await makeDatabase();
    const said = await refusal(startServer({ databaseUrl: database.url.replace(database.name, 'no_such_database') }));
    expect(said).toContain('"no_such_database" does not exist');
  });

  test('when it is newer than the server, and it is left as it is', async () => {
    const database = await makeDatabase();
    const server = startServer({ databaseUrl: database.url });
    await server.ready();
    server.kill('SIGTERM');
    await server.exit;
    await database.query(`INSERT INTO muster_migrations (name, batch, migration_time) VALUES ('0999_later', 2, now())`);
    const said = await refusal(startServer({ databaseUrl: database.url }));
    expect(said).toContain('newer version of Muster');
    expect(said).toContain('0999_later');
    const steps = await database.query('SELECT name FROM muster_migrations');
    expect(steps).toHaveLength(migrations.length + 1);
  });
});
