// Whether a claim costs the same however many jobs wait: one claim over REST at a time, with the plan that Postgres
// chose for taking the first row of the queue.

import { settle, withClient } from '../lib/db.mjs';

const CLAIMS = 300;

/** @returns {Promise<{rows: {waiting: number, p50: number, p99: number}[], plan: string}>} latencies in ms */
export async function measureClaims({ database, muster, sizes = [1_000, 100_000, 1_000_000] }) {
  const rows = [];
  let plan = '';
  for (const waiting of sizes) {
    await withClient(database.connection, async (client) => {
      await client.query('truncate jobs, jobs_ready, jobs_scheduled, jobs_claimed, jobs_failed');
      await client.query(
        `insert into jobs (id, kind, state, priority, max_attempts, run_at, created_at, payload)
         select 'job_01M80V0E8VB3ME7N' || lpad(n::text, 10, '0'), 'flat', 'queued', n % 4, 3, now(), now(), 'null'
         from generate_series(1, $1::int) n`,
        [waiting],
      );
      await client.query(
        'insert into jobs_ready (kind, priority, run_at, id) select kind, priority, run_at, id from jobs',
      );
    });
    await settle(database.connection);
    const times = [];
    for (let n = 0; n < CLAIMS; n += 1) {
      const began = performance.now();
      const answer = await fetch(`${muster.url}/v1/jobs/claim`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ worker_id: 'bench', kinds: ['flat'], lease_sec: 3600 }),
      });
      if ((await answer.json()).length !== 1) throw new Error('no job was claimed');
      times.push(performance.now() - began);
    }
    times.sort((a, b) => a - b);
    rows.push({ waiting, p50: times[CLAIMS / 2], p99: times[Math.floor(CLAIMS * 0.99)] });
    plan = await withClient(database.connection, async (client) => {
      const { rows: lines } = await client.query(
        `explain (analyze, buffers, costs off, timing off, summary off)
         select r.ctid from jobs_ready r where r.kind = 'flat'
         order by r.priority, r.run_at, r.id limit 1 for update skip locked`,
      );
      return lines.map((line) => line['QUERY PLAN']).join('\n');
    });
  }
  return { rows, plan };
}
