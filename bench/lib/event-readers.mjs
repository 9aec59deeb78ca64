// Many readers of one stream, which do no more than count what they get.
//
// Options: kind ('sse' or 'ws'), url, readers, events (of each), subscribe (say so over a WebSocket). Says `ready` when all are
// connected, and then when each has had all its events.

import http from 'node:http';
import { once } from 'node:events';
import { WebSocket } from 'ws';
import { answer, childOptions } from './child.mjs';

const { kind, url, readers, events, subscribe = false } = childOptions();
const most = events ?? Infinity;
let waiting = readers;

function got(reader, count) {
  reader.count += count;
  if (reader.count >= most && !reader.done) {
    reader.done = true;
    if (--waiting === 0) answer({ at: performance.timeOrigin + performance.now() });
  }
}

async function readSse() {
  const reader = { count: 0 };
  const request = http.get(url, { agent: false });
  const [response] = await once(request, 'response');
  // A block ends with an empty line; no block but an event's has data.
  let before = 0;
  response.on('data', (chunk) => {
    let count = 0;
    for (const byte of chunk) {
      if (byte === 10 && before === 10) count += 1;
      before = byte;
    }
    if (reader.begun) got(reader, count);
    else {
      // The stream's first block tells how long to wait before coming back.
      reader.begun = true;
      got(reader, Math.max(0, count - 1));
    }
  });
}

async function readWs() {
  const reader = { count: 0 };
  const socket = new WebSocket(url.replace(/^http/, 'ws'), { perMessageDeflate: false });
  await once(socket, 'open');
  if (subscribe) {
    socket.send('{"type":"subscribe"}');
    await once(socket, 'message');
  }
  socket.on('message', () => got(reader, 1));
}

for (let begun = 0; begun < readers; begun += 50) {
  const some = Array.from({ length: Math.min(50, readers - begun) }, kind === 'sse' ? readSse : readWs);
  await Promise.all(some);
}
answer({ ready: true });
