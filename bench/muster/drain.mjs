// Muster's own worker, from the package that users install: 50,000 no-op jobs over one stream.
//
// Options: url, jobs, concurrency, prefetch. Submits the jobs itself, by SQL, since only the drain is measured.

import { createWorker } from '../../dist/src/client/index.js';
import { answer, childOptions } from '../lib/child.mjs';
import { settle, withClient } from '../lib/db.mjs';

const { url, jobs, concurrency, prefetch } = childOptions();
const connectionString = process.env.DATABASE_URL;

await withClient(connectionString, async (client) => {
  await client.query('truncate jobs, jobs_ready, jobs_scheduled, jobs_claimed, jobs_failed');
  await client.query(
    `insert into jobs (id, kind, state, priority, max_attempts, run_at, created_at, payload)
     select 'job_01M80V0E8VB3ME7N' || lpad(n::text, 10, '0'), 'noop', 'queued', 2, 3, now(), now(),
       json_build_object('n', n) from generate_series(1, $1::int) n`,
    [jobs],
  );
  await client.query('insert into jobs_ready (kind, priority, run_at, id) select kind, priority, run_at, id from jobs');
});
await settle(connectionString);

let finished = 0;
let sawLast;
const last = new Promise((resolve) => (sawLast = resolve));
const started = performance.now();
const worker = createWorker({
  url,
  kinds: ['noop'],
  concurrency,
  prefetch,
  handler: () => {
    finished += 1;
    if (finished === jobs) sawLast();
    return null;
  },
});
worker.start();
await last;
// Ends with the answers to the last reports, which come after their commit.
await worker.stop();
const seconds = (performance.now() - started) / 1000;
const open = await withClient(connectionString, (client) =>
  client.query(`select count(*)::int as n from jobs where state <> 'done'`),
);
if (open.rows[0].n !== 0) throw new Error(`${open.rows[0].n} jobs are not done`);
answer({ rate: jobs / seconds });
process.exit();
