// How long it takes from sending a submit to its event's arrival at each of many readers. Both are in this process, whose clock
// measures both ends. Options: url, readers, perSecond, seconds.

import http from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { answer, childOptions } from '../lib/child.mjs';

const { url, readers, perSecond, seconds } = childOptions();
/** When the event of a seq came, once for each reader. */
const arrivals = [];
/** Which job a seq is about, as one of the readers was told. */
const jobOf = new Map();

async function read(first) {
  const request = http.get(`${url}/api/events/subscribe`, { agent: false });
  const [response] = await once(request, 'response');
  let rest = '';
  response.on('data', (chunk) => {
    const now = performance.now();
    rest += chunk.toString('latin1');
    const blocks = rest.split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      if (!block.startsWith('id: ')) continue;
      const seq = Number(block.slice(4, block.indexOf('\n')));
      arrivals.push([seq, now]);
      if (first) jobOf.set(seq, /"job_id":"([^"]+)"/.exec(block)?.[1]);
    }
  });
}
for (let begun = 0; begun < readers; begun += 50) {
  await Promise.all(Array.from({ length: 50 }, (_, n) => read(begun + n === 0)));
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });
const sentAt = new Map();
const answeredAt = new Map();
const answered = [];
async function submit() {
  const sent = performance.now();
  const request = http.request(`${url}/v1/jobs`, {
    method: 'POST',
    agent,
    headers: { 'content-type': 'application/json' },
  });
  request.end('{"kind":"latency"}');
  const [response] = await once(request, 'response');
  let text = '';
  for await (const chunk of response) text += chunk;
  answered.push(performance.now() - sent);
  const { id } = JSON.parse(text);
  sentAt.set(id, sent);
  answeredAt.set(id, performance.now());
}

const count = perSecond * seconds;
const began = performance.now();
const submits = [];
for (let n = 0; n < count; n += 1) {
  const due = began + (n * 1000) / perSecond;
  if (due > performance.now()) await sleep(due - performance.now());
  submits.push(submit());
}
await Promise.all(submits);
while (arrivals.length < count * readers) await sleep(20);

const since = (began) => arrivals.map(([seq, at]) => at - began.get(jobOf.get(seq))).sort((a, b) => a - b);
const times = since(sentAt);
const fromAnswer = since(answeredAt);
answered.sort((a, b) => a - b);
const at = (list, part) => list[Math.min(list.length - 1, Math.floor(list.length * part))];
answer({
  p50: at(times, 0.5),
  p99: at(times, 0.99),
  max: times.at(-1),
  fromAnswer50: at(fromAnswer, 0.5),
  fromAnswer99: at(fromAnswer, 0.99),
  answered50: at(answered, 0.5),
  answered99: at(answered, 0.99),
});
process.exit();
