// Unary GetJob over gRPC.

import { startChild } from '../lib/child.mjs';
import { withServerCpu } from '../lib/cpu.mjs';
import { loadGrpc } from '../lib/load.mjs';

const PEERS = {
  'grpc-js, constant answer': { source: 'constant' },
  'grpc-js + pg pool of 8': { source: 'pg', pool: 8 },
  'grpc-js + pg pipelined': { source: 'pg', pipeline: 4 },
};
const LOADS = [
  { concurrency: 64, channels: 4 },
  { concurrency: 1, channels: 1 },
];

export async function grpcCases({ database, ids, muster, seconds }) {
  const cases = [];
  const children = [];
  for (const [peer, options] of Object.entries(PEERS)) {
    const child = await startChild('peers/grpc.mjs', options, { DATABASE_URL: database.connection });
    children.push(child);
    for (const shape of LOADS) {
      const load = {
        ...shape,
        port: child.message.port,
        service: 'muster.v1.JobService',
        method: 'GetJob',
        request: { id: ids[0] },
      };
      await loadGrpc({ ...load, seconds: 1 });
      const what = `gRPC GetJob, ${shape.concurrency} outstanding`;
      cases.push({
        name: `${what} ${peer}`,
        what,
        peer,
        measure: () =>
          withServerCpu({ server: child.pid, postgres: database.pid }, () => loadGrpc({ ...load, seconds })),
      });
    }
  }
  const made = await fetch(`${muster.url}/v1/jobs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"kind":"bench"}',
  });
  const job = await made.json();
  for (const shape of LOADS) {
    const load = {
      ...shape,
      port: muster.port,
      service: 'muster.v1.JobService',
      method: 'GetJob',
      request: { id: job.id },
    };
    await loadGrpc({ ...load, seconds: 1 });
    const what = `gRPC GetJob, ${shape.concurrency} outstanding`;
    cases.push({
      name: `${what} muster`,
      what,
      peer: 'muster',
      measure: () =>
        withServerCpu({ server: muster.pid, postgres: database.pid }, () => loadGrpc({ ...load, seconds })),
    });
  }
  cases.sort((a, b) => a.what.localeCompare(b.what));
  return { cases, stop: () => Promise.all(children.map((child) => child.stop())) };
}
