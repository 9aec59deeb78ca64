import pg from 'pg';
import { onTestFinished } from 'vitest';
import { startEmbeddedPostgres } from '../../../../src/platform/db/embedded.js';
import { createLog } from '../../../../src/platform/log.js';
import { makeTempDir, postgresOf } from '../../../support/built-server.js';
import { layCluster } from '../../../support/cluster.js';
import { soon } from '../../../support/until.js';

/** A Postgres of the test's own, which may be stopped under those who use it, and complains of nothing. */
export interface OwnPostgres {
  /** As DATABASE_URL has it; the same after a new start. */
  readonly url: string;
  query<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<R[]>;
  /** Ends transactions under way, and keeps the rest in good order. */
  stopFast(): Promise<void>;
  /** As in a crash: nothing is kept but what is on disk, and the next start recovers from that. */
  stopImmediately(): Promise<void>;
  /** Starts it again, on the same data. */
  start(): Promise<void>;
}

export async function startOwnPostgres(): Promise<OwnPostgres> {
  const dataDir = await makeTempDir();
  layCluster(dataDir);
  const launch = () => startEmbeddedPostgres({ dataDir, log: createLog('silent') });
  let postgres = await launch();
  onTestFinished(() => postgres.stop());
  const { host, port, user, database } = postgres.connection;
  const url = `postgres:///${database}?host=${encodeURIComponent(host)}&port=${port}&user=${user}`;
  return {
    url,
    async query<R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      try {
        return (await client.query<R>(text, [...values])).rows;
      } finally {
        await client.end();
      }
    },
    stopFast: () => postgres.stop(),
    async stopImmediately() {
      const pid = postgresOf(dataDir);
      if (pid === undefined) throw new Error('Postgres does not run');
      process.kill(pid, 'SIGQUIT');
      await soon('Postgres to end', postgres.crashed);
      await postgres.stop();
    },
    async start() {
      postgres = await launch();
    },
  };
}
