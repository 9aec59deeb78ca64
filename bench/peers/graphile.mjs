// graphile-worker: no-op jobs, a local queue, completions in batches.
//
// Options: task 'drain' (jobs, concurrency, localQueue, completeDelay, pool) or 'submit' (jobs, callers, pool).

import { EventEmitter } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';
import { answer, childOptions } from '../lib/child.mjs';
import { settle, withClient } from '../lib/db.mjs';
import { submitConcurrently } from '../lib/submit.mjs';

const options = childOptions();
const connectionString = process.env.DATABASE_URL;
const logger = new Logger(() => () => {});
const pgPool = new pg.Pool({ connectionString, max: options.pool });
// graphile-worker complains about a pool that nobody listens to.
pgPool.on('error', () => {}).on('connect', () => {});

await withClient(connectionString, (client) => client.query('drop schema if exists graphile_worker cascade'));
const utils = await makeWorkerUtils({ pgPool, logger });
await utils.migrate();

answer(options.task === 'drain' ? await drain(options) : await submit(options));
await utils.release();
await pgPool.end();
process.exit();

async function submit({ jobs, callers }) {
  await submitConcurrently({ jobs: jobs / 10, callers, submit: (n) => utils.addJob('noop', { n }) });
  await settle(connectionString);
  return submitConcurrently({ jobs, callers, submit: (n) => utils.addJob('noop', { n }) });
}

async function drain({ jobs, concurrency, localQueue, completeDelay }) {
  for (let n = 0; n < jobs; n += 5000) {
    await utils.addJobs(
      Array.from({ length: 5000 }, (_, index) => ({ identifier: 'noop', payload: { n: n + index } })),
    );
  }
  await settle(connectionString);

  let finished = 0;
  let sawLast;
  const last = new Promise((resolve) => (sawLast = resolve));
  const events = new EventEmitter();
  let started;
  // Fires once the process is up and migrated, right before the first fetch.
  events.once('pool:create', () => (started = performance.now()));

  const runner = await run({
    pgPool,
    events,
    preset: {
      worker: {
        logger,
        concurrentJobs: concurrency,
        maxPoolSize: options.pool,
        localQueue: { size: localQueue },
        completeJobBatchDelay: completeDelay,
        failJobBatchDelay: completeDelay,
      },
    },
    noHandleSignals: true,
    taskList: {
      noop: () => {
        finished += 1;
        if (finished === jobs) sawLast();
      },
    },
  });
  await last;
  await untilEmpty();
  const seconds = (performance.now() - started) / 1000;
  await runner.stop();
  return { rate: jobs / seconds };
}

// The last completions may still wait for their batch; a finished job is a deleted row.
async function untilEmpty() {
  await withClient(connectionString, async (client) => {
    for (;;) {
      const { rowCount } = await client.query('select 1 from graphile_worker._private_jobs limit 1');
      if (rowCount === 0) return;
      await sleep(2);
    }
  });
}
