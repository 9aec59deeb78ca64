import type { Socket } from 'node:net';
import pg from 'pg';
import { AppError, codeOf, messageOf } from '../../errors.js';
import type { Log } from '../log.js';
import { within } from '../within.js';
import { arrayText } from './array-text.js';
import { createConnections } from './connections.js';
import { hideValues } from './quoted-values.js';

/** A statement with a name of its own, which Postgres parses once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  /**
   * It changes nothing. Where a transaction begins with such, they are sent along with its BEGIN, whose answer everything else waits for:
   * should that fail, what came behind it would be carried out all the same, and for good.
   */
  readonly changesNothing?: true;
}

/**
 * Runs single statements, each its own transaction. JSON columns come back as text, bigint as number. Rejects with
 * AppError `unavailable` when the connection is lost or cannot be made; the statement may have been carried out then.
 */
export interface Db {
  query<R>(statement: Statement, values: readonly unknown[]): Promise<R[]>;
  /**
   * Runs `work` in a transaction: committed when it resolves, rolled back when it throws. Run again, from the start, on a
   * serialization failure or deadlock.
   */
  transaction<T>(work: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T>;
}

export interface TransactionOptions {
  /**
   * False: when the machine or Postgres itself crashes within a second of it, what it did may be undone, whole, and the caller does not
   * wait for the disk. Everybody sees it once it is committed, and no death of a server undoes it. Default true.
   */
  readonly durable?: boolean;
}

/**
 * Runs statements of one transaction. Not a Db, so that what must be in a transaction can say so in its type. Statements that are
 * asked for together are sent together, and carried out in the order in which they were asked for, each seeing what those before
 * it have done: one that reads what another locks reads it under the lock. When one fails, those after it do, too, as does what is
 * asked for when it is over.
 */
export interface Tx {
  query<R>(statement: Statement, values: readonly unknown[]): Promise<R[]>;
  /** Runs `told` when this transaction has been committed, before anybody else hears of it; never when that is unknown. */
  afterCommit(told: () => void): void;
  readonly inTransaction: true;
}

/** What can run a statement, whether or not that is a transaction of its own. */
export type Queries = Pick<Db, 'query'>;

/** Runs `work` in the transaction that there is, or in one of its own. */
export function joinTransaction<T>(on: Db | Tx, work: (tx: Tx) => Promise<T>): Promise<T> {
  return 'inTransaction' in on ? work(on) : on.transaction(work);
}

export interface Database extends Db {
  /** Connections in use and idle, and callers that wait for one. */
  readonly pool: { readonly total: number; readonly idle: number; readonly waiting: number };
  /** The database's clock. */
  now(): Promise<Date>;
  /** Rejects when the database cannot be reached. */
  ping(): Promise<void>;
  /** Lets statements under way end for a moment, then cuts them. Never hangs. */
  close(): Promise<void>;
}

export type ConnectionConfig =
  | { readonly connectionString: string }
  | { readonly host: string; readonly port: number; readonly user: string; readonly database: string };

/**
 * Every statement here is prepared and of one plan for all its parameters, which Postgres would not see: it thinks that a plan
 * for an array of one element beats the general one, and plans anew each time, at half the statement's cost or more. The
 * others are as in the embedded database; results in UTC are parsed faster.
 */
const sessionSettings = `SET plan_cache_mode = force_generic_plan; SET jit = off; SET max_parallel_workers_per_gather = 0;
  SET random_page_cost = 1.1; SET timezone = 'UTC'`;

const types = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    switch (oid) {
      case pg.types.builtins.JSON:
        return (text: string) => text;
      case pg.types.builtins.INT8:
        return Number;
      case pg.types.builtins.TIMESTAMPTZ:
        return timestampOf;
      default:
        return pg.types.getTypeParser(oid, format);
    }
  },
};

const parseTimestamp = pg.types.getTypeParser(pg.types.builtins.TIMESTAMPTZ) as (text: string) => Date;

/** A timestamp such as `2026-11-22 08:15:30.123456+00`, cut to milliseconds. pg's own parser takes ten times as long. */
export function timestampOf(text: string): Date {
  const year = digits(text, 0, 4);
  // Other time zones, years of five digits, BC, infinity; and Date.UTC takes years below 100 for ones of the 20th century.
  if (!text.endsWith('+00') || text.charAt(4) !== '-' || text.charAt(10) !== ' ' || !(year >= 100)) {
    return parseTimestamp(text);
  }
  const fraction = text.length === 22 ? 0 : digits(text.slice(20, -3).padEnd(3, '0'), 0, 3);
  const day = Date.UTC(year, digits(text, 5, 2) - 1, digits(text, 8, 2));
  return new Date(
    day + (digits(text, 11, 2) * 60 + digits(text, 14, 2)) * 60_000 + digits(text, 17, 2) * 1000 + fraction,
  );
}

/** The number that `count` digits from `start` stand for, or NaN. */
function digits(text: string, start: number, count: number): number {
  let number = 0;
  for (let index = start; index < start + count; index++) {
    const digit = text.charCodeAt(index) - 48;
    if (!(digit >= 0 && digit <= 9)) return NaN;
    number = number * 10 + digit;
  }
  return number;
}

export interface DatabaseOptions {
  /** Most connections. */
  readonly poolSize: number;
  readonly log: Log;
  /** Whether each connection has a session to itself, whose settings may be set; false behind PgBouncer in transaction mode. */
  readonly ownSessions: boolean;
}

/** Connects when it is first used. Throws `invalid_request` for a connection string that is no URL of a Postgres. */
export function createDatabase(connection: ConnectionConfig, options: DatabaseOptions): Database {
  const { log, ownSessions } = options;
  let closing = false;
  if ('connectionString' in connection) requireUrl(connection.connectionString);
  /** All that are being made, in use or idle: the pool itself knows those that are being made only by number. */
  const open = new Set<pg.ClientBase>();
  let wakeCloser = (): void => undefined;
  class Connection extends pg.Client {
    constructor(config?: pg.ClientConfig) {
      super(config);
      open.add(this);
      // The loss of a connection is told to the statement at hand. The event that comes besides would end the process if
      // nobody listened, and the pool listens to idle connections only.
      this.on('error', (error) => {
        if (connections.lost(this, error)) reportLost(error);
      });
      this.once('end', () => {
        open.delete(this);
        connections.lost(this, new Error('Connection terminated'));
        wakeCloser();
      });
    }
  }
  const pool = new pg.Pool({
    ...connection,
    Client: Connection,
    max: options.poolSize,
    application_name: 'muster',
    types: types as unknown as pg.CustomTypesConfig,
    // A statement does not wait for the answer to the one before it, but where its caller does.
    pipeline: true,
    connectionTimeoutMillis: connectMs,
    ...keepAlive,
    // Waited for, though its type does not say so.
    ...(ownSessions && { onConnect: (client) => client.query(sessionSettings) as unknown as void }),
  });
  const connections = createConnections(pool);
  // Idle connections have no statement to tell; the pool opens others by itself.
  pool.on('error', reportLost);

  function reportLost(error: Error): void {
    if (!closing) log.warn('database_connection_lost', { error });
  }

  async function run<R>(statement: Statement, values: readonly unknown[]): Promise<R[]> {
    const client = await connections.take();
    try {
      const rows = await ask<R>(client, statement, values);
      connections.giveBack(client);
      return rows;
    } catch (error) {
      connections.giveBack(client, breaking(error));
      throw error;
    }
  }

  /** Runs `work` again on a serialization failure or deadlock, as Postgres asks for. */
  async function retried<T>(work: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      try {
        return await work();
      } catch (error) {
        if (isLost(error)) {
          log.warn('database_unreachable', { error });
          throw new AppError('unavailable', 'The database cannot be reached; try again.', { cause: error });
        }
        const code = codeOf(error);
        if ((code === '40001' || code === '40P01') && tries < maxTries) continue;
        // Its stack leads to a socket, and not to whoever asked.
        if (error instanceof pg.DatabaseError) Error.captureStackTrace(error);
        throw hideValues(error);
      }
    }
  }

  return {
    async query<R>(statement: Statement, values: readonly unknown[]): Promise<R[]> {
      return retried(() => run<R>(statement, values));
    },
    async transaction(work, { durable = true } = {}) {
      return retried(async () => {
        const client = await connections.take();
        const toTell: (() => void)[] = [];
        let broken: Error | undefined;
        let isOver = false;
        try {
          const { begun, behind } = begin(client, durable);
          const result = await work({
            inTransaction: true,
            afterCommit: (told) => void toTell.push(told),
            query: <R>(statement: Statement, values: readonly unknown[]) =>
              behind(statement, async () => {
                // One of several that `work` did together may go on when another has failed; the connection is somebody else's then.
                if (isOver) throw new Error(`${statement.name}: the transaction is over`);
                return ask<R>(client, statement, values);
              }),
          });
          isOver = true;
          await begun;
          // What Postgres answers when a statement had failed, and `work` did not let the error through.
          const { command } = await client.query('COMMIT');
          if (command !== 'COMMIT') throw new Error(`a failed transaction cannot be committed: ${command}`);
          for (const told of toTell) told();
          return result;
        } catch (error) {
          isOver = true;
          await client.query('ROLLBACK').catch((rollback: unknown) => {
            broken = new Error(messageOf(rollback), { cause: rollback });
          });
          throw error;
        } finally {
          connections.giveBack(client, broken);
        }
      });
    },
    async now() {
      const [row] = await retried(() => run<{ now: Date }>(clock, []));
      if (row === undefined) throw new Error('the database told no time');
      return row.now;
    },
    async ping() {
      await retried(() => run(nothing, []));
    },
    get pool() {
      return { total: pool.totalCount, idle: pool.idleCount + connections.atHand, waiting: pool.waitingCount };
    },
    async close() {
      closing = true;
      connections.close();
      const ended = pool.end();
      const closed = new Promise<void>((resolve) => {
        wakeCloser = () => open.size === 0 && resolve();
        wakeCloser();
      });
      // Where a statement does not end, or the other side does not answer.
      if (!(await within(closeMs, Promise.all([ended, closed])))) open.forEach(destroyConnection);
      await within(connectMs, ended);
    },
  };
}

/** Begins a transaction; `behind` sends a statement when it may be sent, behind all those that came before it. */
function begin(client: pg.ClientBase, durable: boolean) {
  let isBegun = false;
  let waiting = 0;
  const begun = client.query(durable ? 'BEGIN' : 'BEGIN; SET LOCAL synchronous_commit = off').then(() => {
    isBegun = true;
  });
  // What waits for it is told.
  begun.catch(() => undefined);

  async function behind<T>({ changesNothing }: Statement, send: () => Promise<T>): Promise<T> {
    if (waiting > 0 || !(isBegun || changesNothing === true)) {
      waiting += 1;
      try {
        await begun;
      } finally {
        waiting -= 1;
      }
    }
    return send();
  }
  return { begun, behind };
}

/** pg copies the description of a query that it is given as an object property by property, which takes it ten microseconds. */
function ask<R>(client: pg.ClientBase, { name, text }: Statement, values: readonly unknown[]): Promise<R[]> {
  return new Promise((resolve, reject) => {
    const sent = values.map((value) => (Array.isArray(value) ? arrayText(value) : value));
    const query = new pg.Query(text, sent, (error, result) => (error ? reject(error) : resolve(result.rows as R[])));
    client.query(Object.assign(query, { name }));
  });
}

/** pg takes any text, and then looks for a host called "base". The text may hold a password, so it is not repeated. */
function requireUrl(text: string): void {
  if (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text)) return;
  throw new AppError('invalid_request', 'DATABASE_URL: must be a URL such as postgres://user:password@host/name');
}

const clock: Statement = { name: 'clock_now', text: 'SELECT clock_timestamp() AS now' };
const nothing: Statement = { name: 'health_ready', text: 'SELECT 1' };
const maxTries = 5;
/** How long to wait for a connection, one of the pool or a new one. */
export const connectMs = 15_000;
/** A machine that is gone is noticed by the operating system, where no statement waits to notice it. */
export const keepAlive = { keepAlive: true, keepAliveInitialDelayMillis: 30_000 };
/** How long statements under way may take to end when the pool is closed. */
const closeMs = 3000;

/** Ends a connection at once. pg's own `end` waits for the other side. */
export function destroyConnection(client: pg.ClientBase): void {
  (client as unknown as { readonly connection: { readonly stream: Socket } }).connection.stream.destroy();
}

/** connection_exception, too_many_connections, and what Postgres says when it starts or ends. */
const lostStates = /^(08...|53300|57P0[1-5])$/;
/** pg has no codes for these. */
const lostWords =
  /^(Connection terminated|Client has encountered a connection error|Client was closed|timeout exceeded when trying to connect)/;

/** The error after which a connection cannot be used again. One that Postgres tells of a statement leaves it as it was. */
function breaking(error: unknown): Error | undefined {
  if (error instanceof pg.DatabaseError && !isLost(error)) return undefined;
  return error instanceof Error ? error : new Error(messageOf(error));
}

/** Whether an error says that there is no connection, rather than what is wrong with a statement. */
function isLost(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return lostStates.test(error.code ?? '');
  // Of the operating system: ECONNREFUSED, ENOENT (of a socket), EPIPE and the like.
  if (error instanceof Error && 'syscall' in error) return true;
  return error instanceof Error && lostWords.test(error.message);
}
