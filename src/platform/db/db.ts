import pg from 'pg';
import { messageOf } from '../../errors.js';
import type { Log } from '../log.js';

/** A statement with a name of its own, which Postgres parses once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
}

/** Runs single statements, each its own transaction. JSON columns come back as text, bigint as number. */
export interface Db {
  query<R>(statement: Statement, values: readonly unknown[]): Promise<R[]>;
  /**
   * Runs `work` in a transaction: committed when it resolves, rolled back when it throws. Run again, from the start, on a
   * serialization failure or deadlock.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
}

/** Runs statements of one transaction. Not a Db, so that what must be in a transaction can say so in its type. */
export interface Tx {
  query<R>(statement: Statement, values: readonly unknown[]): Promise<R[]>;
  readonly inTransaction: true;
}

export interface Database extends Db {
  /** Connections in use and idle, and callers that wait for one. */
  readonly pool: { readonly total: number; readonly idle: number; readonly waiting: number };
  close(): Promise<void>;
}

export type ConnectionConfig =
  | { readonly connectionString: string }
  | { readonly host: string; readonly port: number; readonly user: string; readonly database: string };

const types = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    switch (oid) {
      case pg.types.builtins.JSON:
        return (text: string) => text;
      case pg.types.builtins.INT8:
        return Number;
      default:
        return pg.types.getTypeParser(oid, format);
    }
  },
};

export function createDatabase(connection: ConnectionConfig, options: { poolSize: number; log: Log }): Database {
  const pool = new pg.Pool({
    ...connection,
    max: options.poolSize,
    application_name: 'muster',
    types: types as unknown as pg.CustomTypesConfig,
  });
  // Without a listener a lost idle connection would end the process; the pool opens another by itself.
  pool.on('error', (error) => options.log.warn('database_connection_lost', { error }));

  return {
    async query<R>(statement: Statement, values: readonly unknown[]): Promise<R[]> {
      return retried(async () => (await pool.query({ ...statement, values: values as unknown[] })).rows as R[]);
    },
    async transaction(work) {
      return retried(async () => {
        const client = await pool.connect();
        let broken: Error | undefined;
        try {
          await client.query('BEGIN');
          const result = await work({
            inTransaction: true,
            query: async <R>(statement: Statement, values: readonly unknown[]) =>
              (await client.query({ ...statement, values: values as unknown[] })).rows as R[],
          });
          await client.query('COMMIT');
          return result;
        } catch (error) {
          await client.query('ROLLBACK').catch((rollback: unknown) => {
            broken = new Error(messageOf(rollback), { cause: rollback });
          });
          throw error;
        } finally {
          client.release(broken);
        }
      });
    },
    get pool() {
      return { total: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount };
    },
    close: () => pool.end(),
  };
}

const maxTries = 5;

/** Postgres asks for another try after these: serialization_failure and deadlock_detected. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      const code = (error as { code?: unknown }).code;
      if ((code !== '40001' && code !== '40P01') || tries === maxTries) throw error;
    }
  }
}
