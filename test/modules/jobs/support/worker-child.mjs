// A worker in a process of its own, to be killed: takes jobs of kind `build` from a Work stream, keeps them alive with
// heartbeats and never ends one. Tells of each on stdout.
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { JobService } from '../../../../dist/gen/muster/v1/jobs_pb.js';

const [url = '', leaseSec = '1'] = process.argv.slice(2);
const client = createClient(JobService, createGrpcTransport({ baseUrl: url }));
const held = new Map();

async function* say() {
  const start = { workerId: 'child', kinds: ['build'], capacity: 1, leaseSec: Number(leaseSec) };
  yield { message: { case: 'start', value: start } };
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, (Number(leaseSec) * 1000) / 5));
    yield { message: { case: 'update', value: { held: [...held.values()] } } };
  }
}

for await (const { jobs } of client.work(say())) {
  for (const { id, leaseToken } of jobs) {
    held.set(id, { id, leaseToken });
    process.stdout.write(`${JSON.stringify({ id, leaseToken })}\n`);
  }
}
