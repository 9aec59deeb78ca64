// GET and POST of one job over REST.

import { startChild } from '../lib/child.mjs';
import { loadHttp } from '../lib/load.mjs';
import { withServerCpu } from '../lib/cpu.mjs';

// One would choose the pool by hand; these did best of 2, 4, 8 and 16.
const PEERS = {
  'fastify + pg pool of 8': { pool: 8 },
  'fastify + pg pool of 16': { pool: 16 },
  // Not what people write today, but what pg can do since it pipelines.
  'fastify + pg pipelined': { pool: 8, pipeline: 4, transaction: 'pipelined' },
};

const JSON_BODY = JSON.stringify({
  kind: 'build',
  payload: { repo: 'muster', commit: '0123abcd', steps: ['lint', 'test'] },
});
const READS = 500;
/** Seconds. A server that has run for a second is still being compiled: it takes 1.5 times as long for a call as it does later. */
const WARM_UP = 5;
// A stride that shares no factor with the number of rows spreads the reads over all of them.
const STRIDE = 7919;

const POST = { method: 'POST', path: '/v1/jobs', headers: { 'content-type': 'application/json' }, body: JSON_BODY };

export async function restCases({ database, ids, muster, seconds }) {
  const requests = {
    'GET /v1/jobs/{id}': Array.from({ length: READS }, (_, n) => ({
      method: 'GET',
      path: `/v1/jobs/${ids[(n * STRIDE) % ids.length]}`,
    })),
    'POST /v1/jobs': [POST],
  };
  const cases = [];
  const children = [];
  async function add(peer, pid, port, route, list, connections, info) {
    const load = { port, requests: list, connections };
    await loadHttp({ ...load, seconds: WARM_UP });
    const what = `REST ${route}, ${connections} conn.`;
    cases.push({
      name: `${what} ${peer}`,
      what,
      peer,
      ...info,
      measure: () => withServerCpu({ server: pid, postgres: database.pid }, () => loadHttp({ ...load, seconds })),
    });
  }
  for (const [peer, options] of Object.entries(PEERS)) {
    const child = await startChild('peers/rest.mjs', options, { DATABASE_URL: database.connection });
    children.push(child);
    for (const [route, list] of Object.entries(requests)) {
      for (const connections of [64, 1]) await add(peer, child.pid, child.message.port, route, list, connections);
    }
  }
  const own = await musterIds(muster);
  const gets = own.map((id) => ({ method: 'GET', path: `/v1/jobs/${id}` }));
  for (const connections of [64, 1]) {
    await add('muster', muster.pid, muster.port, 'GET /v1/jobs/{id}', gets, connections);
    await add('muster', muster.pid, muster.port, 'POST /v1/jobs', [POST], connections);
  }
  const calls = own.map((id) => ({
    method: 'POST',
    path: '/muster.v1.JobService/GetJob',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ id }),
  }));
  cases.push({
    name: 'Connect JSON GetJob, 64 conn.',
    what: 'Connect JSON GetJob, 64 conn.',
    peer: 'muster',
    against: 'REST GET /v1/jobs/{id}, 64 conn.',
    measure: () => loadHttp({ port: muster.port, requests: calls, connections: 64, seconds }),
  });
  return { cases: byWhat(cases), stop: () => Promise.all(children.map((child) => child.stop())) };
}

// Rivals next to each other, so that they run one right after the other.
const byWhat = (cases) => cases.sort((a, b) => a.what.localeCompare(b.what));

/** Finished jobs of Muster's own, as the peers have them. */
async function musterIds(muster) {
  for (let n = 0; n < READS; n += 64) {
    await Promise.all(Array.from({ length: 64 }, () => fetch(muster.url + POST.path, POST)));
  }
  const jobs = await (await fetch(`${muster.url}/v1/jobs?limit=${READS}`)).json();
  return jobs.map(({ id }) => id);
}
