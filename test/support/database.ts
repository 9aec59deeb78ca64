import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { until } from './until.js';

/** A fresh database in the shared Postgres. */
export interface TestDatabase {
  /** As DATABASE_URL has it. */
  readonly url: string;
  readonly name: string;
  /** Runs SQL in it. */
  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<R[]>;
  drop(): Promise<void>;
}

/** With Muster's schema in it, as a first start leaves it: a copy, which is made much faster than by migrating each. */
export function createTestDatabase(): Promise<TestDatabase> {
  return create(inject('postgres').migrated);
}

/** With nothing in it. */
export function createEmptyDatabase(): Promise<TestDatabase> {
  return create('template1');
}

async function create(template: string): Promise<TestDatabase> {
  const { migrated: _, ...server } = inject('postgres');
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await once(server, `CREATE DATABASE ${name} TEMPLATE ${template}`);
  const pool = new pg.Pool({ ...server, database: name, max: 3 });
  pool.on('error', () => undefined);
  return {
    name,
    url: `postgres:///${name}?host=${encodeURIComponent(server.host)}&port=${server.port}&user=${server.user}`,
    query: async <R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) =>
      (await pool.query<R>(text, [...values])).rows,
    async drop() {
      await pool.end();
      await until(`${name} is dropped`, () => dropped(server, name));
    },
  };
}

/**
 * FORCE ends the sessions of others, but not an autovacuum worker, which is the superuser's and done in a moment
 * (insufficient_privilege), and gives up on a session that takes its time to end (object_in_use).
 */
async function dropped(server: pg.ClientConfig, name: string): Promise<boolean> {
  try {
    await once(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    return true;
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === '42501' || code === '55006') return false;
    throw error;
  }
}

async function once(server: pg.ClientConfig, sql: string): Promise<void> {
  const client = new pg.Client(server);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
