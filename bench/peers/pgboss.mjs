// pg-boss: no-op jobs fetched and completed in batches, some batches side by side.
//
// Options: task 'drain' (jobs, batch, parallel, pool) or 'submit' (jobs, callers, pool).

import PgBoss from 'pg-boss';
import { answer, childOptions } from '../lib/child.mjs';
import { settle, withClient } from '../lib/db.mjs';
import { submitConcurrently } from '../lib/submit.mjs';

const options = childOptions();
const connectionString = process.env.DATABASE_URL;
const QUEUE = 'noop';

await withClient(connectionString, (client) => client.query('drop schema if exists pgboss cascade'));
// Nothing to schedule or to archive within a few seconds: its background work would only cost it.
const boss = new PgBoss({ connectionString, max: options.pool, supervise: false, schedule: false });
await boss.start();
await boss.createQueue(QUEUE);

answer(options.task === 'drain' ? await drain(options) : await submit(options));
await boss.stop({ graceful: false });
process.exit();

async function submit({ jobs, callers }) {
  await submitConcurrently({ jobs: jobs / 10, callers, submit: (n) => boss.send(QUEUE, { n }) });
  await settle(connectionString);
  return submitConcurrently({ jobs, callers, submit: (n) => boss.send(QUEUE, { n }) });
}

async function drain({ jobs, batch, parallel, priority = true }) {
  for (let n = 0; n < jobs; n += 5000) {
    await boss.insert(Array.from({ length: 5000 }, (_, index) => ({ name: QUEUE, data: { n: n + index } })));
  }
  await settle(connectionString);

  const started = performance.now();
  let finished = 0;
  async function worker() {
    while (finished < jobs) {
      const fetched = await boss.fetch(QUEUE, { batchSize: batch, priority });
      if (fetched.length === 0) return;
      const { affected } = await boss.complete(
        QUEUE,
        fetched.map((job) => job.id),
      );
      finished += affected;
    }
  }
  await Promise.all(Array.from({ length: parallel }, worker));
  const seconds = (performance.now() - started) / 1000;
  if (finished !== jobs) throw new Error(`${finished} of ${jobs} jobs were completed`);
  return { rate: jobs / seconds };
}
