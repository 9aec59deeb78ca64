// A bare broadcast: every reader is written the same bytes, by plain HTTP or by ws. Options: kind, event, batches, perBatch.

import http from 'node:http';
import { WebSocketServer } from 'ws';
import { answer, childOptions } from '../lib/child.mjs';

const { kind, event, batches, perBatch } = childOptions();
const readers = new Set();
const server = http.createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('retry: 1000\n\n');
  readers.add(response);
});
if (kind === 'ws') {
  new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket) => readers.add(socket));
}
server.listen(0, '127.0.0.1', () => answer({ port: server.address().port }));

const sse = Buffer.from(`id: 1\ndata: ${event}\n\n`.repeat(perBatch));
const message = `{"type":"event","event":${event}}`;

process.once('message', async () => {
  for (let batch = 0; batch < batches; batch += 1) {
    for (const reader of readers) {
      if (kind === 'sse') reader.write(sse);
      else for (let n = 0; n < perBatch; n += 1) reader.send(message);
    }
    await new Promise(setImmediate);
  }
});
