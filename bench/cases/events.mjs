// The ledger: how soon readers know, how many they may be, what a reader costs, how quick a replay is, what an event costs a submit.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runChild } from '../lib/child.mjs';
import { settle, withClient } from '../lib/db.mjs';
import { startMuster } from '../lib/muster.mjs';

const LATENCY = { readers: 200, perSecond: 200, seconds: 10 };
const FAN_OUT = { readers: 1000, batches: 50, perBatch: 10 };
const REPLAY = 1_000_000;
const SUBMITS = { jobs: 20_000, callers: 64 };

/** @returns {Promise<string[]>} lines of markdown */
export async function measureEvents({ database, muster, rounds, log }) {
  const lines = [];
  const say = (line) => {
    log(line);
    lines.push(`- ${line}`);
  };
  const shared = { DATABASE_URL: database.connection };

  const latency = await runChild('muster/event-latency.mjs', { url: muster.url, ...LATENCY }, shared);
  const ms = (number) => number.toFixed(1);
  say(
    `to each of ${LATENCY.readers} readers (SSE) at ${LATENCY.perSecond} submits/s, until the event is there: from the submit's answer ` +
      `p50 ${ms(latency.fromAnswer50)} ms, p99 ${ms(latency.fromAnswer99)} ms (target: commit to delivery below 25); from sending it ` +
      `p50 ${ms(latency.p50)} ms, p99 ${ms(latency.p99)} ms, most ${ms(latency.max)} ms; the answer itself took ` +
      `p50 ${ms(latency.answered50)} ms, p99 ${ms(latency.answered99)} ms`,
  );

  for (const kind of ['sse', 'ws']) {
    const ratios = [];
    for (let round = 0; round < rounds; round += 1) {
      const bytes = await eventBytes(muster.url);
      const peer = await broadcastByPeer(kind, bytes);
      const ours = await broadcastByMuster(kind, muster, shared);
      log(`fan-out ${kind}, round ${round + 1}: bare ${Math.round(peer)}/s, muster ${Math.round(ours)}/s`);
      ratios.push([ours / peer, ours, peer]);
    }
    const [ratio, ours, peer] = ratios.sort((a, b) => a[0] - b[0])[Math.floor((rounds - 1) / 2)];
    say(
      `fan-out to ${FAN_OUT.readers} readers (${kind}): ${perSecond(ours)} events/s delivered, a bare broadcast of the same ` +
        `bytes ${perSecond(peer)}/s: ${ratio.toFixed(2)} (target 0.5)`,
    );
  }

  say(`an idle reader (SSE): ${(await idleReader(shared)).toFixed(1)} KiB of the server's memory`);

  const replay = [];
  await fill(database.connection, REPLAY);
  for (let round = 0; round < rounds; round += 1) {
    const peer = await readAll({ peer: 'peers/cursor.mjs', env: shared });
    const ours = await readAll({ url: `${muster.url}/api/events/subscribe?after=0` });
    log(`replay, round ${round + 1}: bare cursor ${Math.round(peer)}/s, muster ${Math.round(ours)}/s`);
    replay.push([ours / peer, ours, peer]);
  }
  const [ratio, ours, peer] = replay.sort((a, b) => a[0] - b[0])[Math.floor((rounds - 1) / 2)];
  say(
    `replay of ${REPLAY.toLocaleString('en-US')} events (SSE): ${perSecond(ours)}/s, a bare pg cursor printed as JSON ` +
      `${perSecond(peer)}/s: ${ratio.toFixed(2)} (target 0.5)`,
  );

  const submits = [];
  for (let round = 0; round < rounds; round += 1) {
    const bare = await runChild('muster/submit-events.mjs', { ...SUBMITS, events: false }, shared);
    const full = await runChild('muster/submit-events.mjs', { ...SUBMITS, events: true }, shared);
    log(`submits, round ${round + 1}: without events ${Math.round(bare.rate)}/s, with ${Math.round(full.rate)}/s`);
    submits.push([1 - full.rate / bare.rate, full.rate, bare.rate]);
  }
  const [cost, full, bare] = submits.sort((a, b) => a[0] - b[0])[Math.floor((rounds - 1) / 2)];
  say(
    `single submits, ${SUBMITS.callers} callers in process: ${perSecond(full)}/s, the same statement without its event ` +
      `${perSecond(bare)}/s: events cost ${Math.round(cost * 100)} % (target: below 25 %)`,
  );
  return lines;
}

const perSecond = (rate) => Math.round(rate).toLocaleString('en-US');
const total = FAN_OUT.batches * FAN_OUT.perBatch;

/** Readers in a process of their own; resolves when all of them are connected. */
async function startReaders(options) {
  const child = fork(fileURLToPath(new URL('../lib/event-readers.mjs', import.meta.url)), [JSON.stringify(options)]);
  await once(child, 'message');
  const done = once(child, 'message').then(([message]) => message);
  return { child, done };
}

async function delivered(readers, begin) {
  const began = performance.now();
  await begin();
  const { at } = await readers.done;
  readers.child.kill();
  // Both clocks are the system's.
  return (FAN_OUT.readers * total) / ((at - performance.timeOrigin - began) / 1000);
}

async function broadcastByPeer(kind, bytes) {
  const peer = fork(fileURLToPath(new URL('../peers/broadcast.mjs', import.meta.url)), [
    JSON.stringify({ kind, event: bytes, ...FAN_OUT }),
  ]);
  const [{ port }] = await once(peer, 'message');
  const readers = await startReaders({
    kind,
    url: `http://127.0.0.1:${port}/`,
    readers: FAN_OUT.readers,
    events: total,
  });
  const rate = await delivered(readers, () => peer.send('go'));
  peer.kill();
  return rate;
}

async function broadcastByMuster(kind, muster, env) {
  const path = kind === 'sse' ? '/api/events/subscribe' : '/api/events/stream';
  const readers = await startReaders({
    kind,
    url: muster.url + path,
    readers: FAN_OUT.readers,
    events: total,
    subscribe: true,
  });
  return withClient(env.DATABASE_URL, (client) =>
    delivered(readers, async () => {
      for (let batch = 0; batch < FAN_OUT.batches; batch += 1) await append(client, FAN_OUT.perBatch);
    }),
  );
}

const append = (client, count) =>
  client.query(
    `insert into events_new (count, at, type, source, actor_kind, actor_id, correlation_id, job_ids, payload)
     select 1, now(), 'JobQueued', 'Rest', 'human', 'local', gen_random_uuid()::text, array['job_01M80V0E8VB3ME7N' || lpad(n::text, 10, '0')],
       '{"kind":"build","status":"queued","priority":2,"attempts":0,"max_attempts":3,"timeout_sec":null}'
     from generate_series(1, $1::int) n`,
    [count],
  );

/** One event as Muster prints it. */
async function eventBytes(url) {
  const answer = await fetch(`${url}/api/events?limit=1`);
  const [event] = await answer.json();
  return JSON.stringify(event);
}

/** On a server of its own, whose memory nothing has stretched before. */
async function idleReader(env) {
  const muster = await startMuster(env);
  const count = 1000;
  const open = async (readers) => {
    const url = `${muster.url}/api/events/subscribe`;
    const { child } = await startReaders({ kind: 'sse', url, readers, events: Infinity, subscribe: true });
    return child;
  };
  const first = await open(100);
  const before = residentKiB(muster.pid);
  const rest = await open(count);
  const after = residentKiB(muster.pid);
  first.kill();
  rest.kill();
  await muster.stop();
  return (after - before) / count;
}

function residentKiB(pid) {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? NaN);
}

async function fill(connection, count) {
  await withClient(connection, async (client) => {
    await client.query('truncate events, events_new');
    await client.query(
      `insert into events (seq, at, type, source, actor_kind, actor_id, correlation_id, job_id, payload)
       select n, now(), 'JobQueued', 'Rest', 'human', 'local', gen_random_uuid()::text, 'job_01M80V0E8VB3ME7N' || lpad(n::text, 10, '0'),
         '{"kind":"build","status":"queued","priority":2,"attempts":0,"max_attempts":3,"timeout_sec":null}'
       from generate_series(1, $1::int) n`,
      [count],
    );
    await client.query('update events_head set seq = $1, oldest = 1', [count]);
  });
  await settle(connection);
}

/** Events a second of one reader that reads them all. */
async function readAll({ url, peer, env }) {
  const child =
    peer && fork(fileURLToPath(new URL(`../${peer}`, import.meta.url)), [], { env: { ...process.env, ...env } });
  const target = url ?? `http://127.0.0.1:${(await once(child, 'message'))[0].port}/`;
  const { seconds } = await runChild('lib/count-events.mjs', { url: target, events: REPLAY });
  child?.kill();
  return REPLAY / seconds;
}
