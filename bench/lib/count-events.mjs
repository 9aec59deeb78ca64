// One reader that reads a stream of server-sent events to a certain count. Options: url, events.

import http from 'node:http';
import { once } from 'node:events';
import { answer, childOptions } from './child.mjs';

const { url, events } = childOptions();
const began = performance.now();
const request = http.get(url, { agent: false });
const [response] = await once(request, 'response');
let count = -1;
let before = 0;
response.on('data', (chunk) => {
  for (const byte of chunk) {
    if (byte === 10 && before === 10) count += 1;
    before = byte;
  }
  if (count >= events) {
    answer({ seconds: (performance.now() - began) / 1000 });
    process.exit();
  }
});
