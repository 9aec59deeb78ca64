import grpc from '@grpc/grpc-js';
import { answer, childOptions } from './child.mjs';
import { loadService } from './proto.mjs';

const { port, service, method, request, concurrency, channels, seconds } = childOptions();

const Client = loadService(service);
// Without this, channels to one address share a connection.
const channelOptions = { 'grpc.use_local_subchannel_pool': 1 };
const clients = Array.from(
  { length: channels },
  () => new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), channelOptions),
);

const latencies = [];
const started = performance.now();
const deadline = started + seconds * 1000;

function call(client) {
  return new Promise((resolve, reject) => client[method](request, (error) => (error ? reject(error) : resolve())));
}

async function caller(client) {
  while (performance.now() < deadline) {
    const begin = performance.now();
    await call(client);
    latencies.push(performance.now() - begin);
  }
}

await Promise.all(Array.from({ length: concurrency }, (_, index) => caller(clients[index % channels])));
const elapsed = (performance.now() - started) / 1000;

latencies.sort((a, b) => a - b);
const percentile = (share) => latencies[Math.floor(latencies.length * share)];
answer({ answers: latencies.length, rate: latencies.length / elapsed, p50: percentile(0.5), p99: percentile(0.99) });
for (const client of clients) client.close();
