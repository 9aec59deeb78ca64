import { expect, test } from 'vitest';
import { makeTempDir, useBuiltServer } from '../support/built-server.js';
import { createEmptyDatabase } from '../support/database.js';
import { runMuster } from './support/muster.js';

useBuiltServer();

test('muster migrate tells the steps it takes, and then that there are none', async () => {
  const database = await createEmptyDatabase();
  const env = { DATABASE_URL: database.url };
  const first = await runMuster(['migrate'], { env });
  expect(first).toEqual({ code: 0, stdout: expect.stringMatching(/^(took \d{4}_\w+\n)+$/), stderr: '' });
  const rows = await database.query<{ name: string }>('SELECT name FROM muster_migrations ORDER BY id');
  expect(first.stdout).toBe(rows.map(({ name }) => `took ${name}\n`).join(''));
  const second = await runMuster(['migrate', '--database-url', database.url]);
  expect(second).toEqual({ code: 0, stdout: 'The database is up to date.\n', stderr: '' });
  await database.drop();
});

test('muster migrate brings up the embedded database, and stops it again', async () => {
  const dataDir = await makeTempDir();
  const first = await runMuster(['migrate', '--data-dir', dataDir]);
  expect([first.code, first.stdout]).toEqual([0, expect.stringMatching(/^(took \d{4}_\w+\n)+$/)]);
  const second = await runMuster(['migrate'], { env: { MUSTER_DATA_DIR: dataDir } });
  expect(second.stdout).toBe('The database is up to date.\n');
});

test('muster migrate says what is wrong with a database of a newer version', async () => {
  const database = await createEmptyDatabase();
  await runMuster(['migrate', '--database-url', database.url]);
  await database.query(`INSERT INTO muster_migrations (name, batch, migration_time) VALUES ('9999_later', 2, now())`);
  const { code, stderr } = await runMuster(['migrate', '--database-url', database.url]);
  expect([code, stderr]).toEqual([1, 'muster: The database is of a newer version of Muster: it has 9999_later.\n']);
  await database.drop();
});

test('muster migrate says when the database cannot be reached', async () => {
  const { code, stdout, stderr } = await runMuster(['migrate', '--database-url', 'postgres://nobody@127.0.0.1:9/none']);
  expect([code, stdout, stderr]).toEqual([1, '', expect.stringMatching(/^muster: .*ECONNREFUSED/)]);
});
