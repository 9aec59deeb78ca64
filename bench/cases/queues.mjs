// Draining no-op jobs, and submitting them one by one from many callers.

import { runChild } from '../lib/child.mjs';

const DRAIN = { task: 'drain', jobs: 50_000 };
const SUBMIT = { task: 'submit', jobs: 20_000, callers: 64 };
const WHAT_DRAIN = 'drain 50,000 no-op jobs';
const WHAT_SUBMIT = 'single submits, 64 callers';

// Both do better the more they hold at a time, up to a batch of half of all jobs; so each size has a line of its own.
const GRAPHILE_QUEUES = [500, 2000, 10_000];
const PGBOSS_BATCHES = [500, 1000, 2000, 5000, 25_000];

// Of pools of 4 to 64 connections these did best; for the drains it hardly matters.
const SUBMIT_POOL = 16;
const DRAIN_POOL = 10;

const CASES = [
  ...GRAPHILE_QUEUES.map((localQueue) => ({
    script: 'graphile',
    peer: `graphile-worker, local queue of ${localQueue}`,
    what: WHAT_DRAIN,
    // 0 gathers completions for a turn of the event loop; 5, 20 and 100 ms were no better.
    options: { ...DRAIN, concurrency: 16, localQueue, completeDelay: 0, pool: DRAIN_POOL },
  })),
  ...PGBOSS_BATCHES.map((batch) => ({
    script: 'pgboss',
    peer: `pg-boss, two batches of ${batch}`,
    what: WHAT_DRAIN,
    // Of 1, 2, 4 and 16 batches side by side two did best, on two cores.
    options: { ...DRAIN, batch, parallel: 2, pool: DRAIN_POOL },
  })),
  { script: 'graphile', peer: 'graphile-worker addJob', what: WHAT_SUBMIT, options: { ...SUBMIT, pool: SUBMIT_POOL } },
  { script: 'pgboss', peer: 'pg-boss send', what: WHAT_SUBMIT, options: { ...SUBMIT, pool: SUBMIT_POOL } },
];

// Muster's worker runs 16 at a time like graphile-worker's, and holds as many ready as make it quickest.
const MUSTER = [
  { script: 'drain', what: WHAT_DRAIN, options: { jobs: DRAIN.jobs, concurrency: 16, prefetch: 4984 } },
  { script: 'submit', what: WHAT_SUBMIT, options: { jobs: SUBMIT.jobs, callers: SUBMIT.callers } },
];

export async function queueCases({ database, muster }) {
  const cases = CASES.map(({ script, peer, what, options }) => ({
    name: `${what} ${peer}`,
    what,
    peer,
    measure: () => runChild(`peers/${script}.mjs`, options, { DATABASE_URL: database.connection }),
  }));
  for (const { script, what, options } of MUSTER) {
    cases.push({
      name: `${what} muster`,
      what,
      peer: 'muster',
      measure: () =>
        runChild(`muster/${script}.mjs`, { ...options, url: muster.url }, { DATABASE_URL: database.connection }),
    });
  }
  return { cases, stop: async () => {} };
}
