import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { messageOf } from '../../../src/errors.js';
import { lockDataDir } from '../../../src/platform/data-dir.js';
import { startEmbeddedPostgres } from '../../../src/platform/db/embedded.js';
import { createLog } from '../../../src/platform/log.js';

// A small server: locks, starts, says where, and obeys the lines that it is told (SQL, or "stop", or "exit").
const [dataDir = ''] = process.argv.slice(2);
const log = createLog('silent');
const say = (words: object): void => console.log(JSON.stringify(words));
try {
  const lock = await lockDataDir(dataDir, log);
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  const pool = new pg.Pool(postgres.connection);
  pool.on('error', () => undefined);
  process.on('SIGINT', () => say({ interrupted: true }));
  say({ postmaster: Number(readFileSync(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]) });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line === 'exit') process.exit(3);
    if (line === 'stop') {
      await pool.end();
      await postgres.stop();
      await lock.release();
      say({ stopped: true });
      break;
    }
    const { rows } = await pool.query<object>(line);
    say({ rows });
  }
  process.exit(0);
} catch (error) {
  say({ failed: messageOf(error) });
}
