import { beforeAll, describe, expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { sharedTestApp } from '../support/shared-app.js';
import { refuseAnswers, stateOf } from './support/state.js';
import { type Caller, createCaller, declaredWrites, overRest, overRpc, writes } from './support/writes.js';

// Time stands still, so that nothing changes but by the calls.
const app = sharedTestApp({ clock: createManualClock(new Date()) });
let caller: Caller;
let keys = 0;

beforeAll(async () => {
  caller = await createCaller(app.current.url);
});

function newKey(): { readonly 'idempotency-key': string } {
  keys += 1;
  return { 'idempotency-key': `key ${keys}` };
}

test('every method that changes something is told of in support/writes.ts, and nothing else', async () => {
  expect(Object.keys(writes).sort()).toEqual(await declaredWrites());
});

const ways = { REST: overRest, RPC: overRpc };

describe.each(Object.keys(writes))('%s', (name) => {
  const prepare = async () => (await writes[name]?.(caller)) ?? {};

  describe.each(Object.entries(ways))('%s', (_way, call) => {
    test('keeps its answer in the transaction of its change: without the one there is not the other', async () => {
      const { url, database } = app.current;
      const request = await prepare();
      const headers = { ...caller.headers, ...newKey() };
      const before = await stateOf(database);
      const relent = await refuseAnswers(database);
      try {
        expect(await call(url, name, request, headers)).toMatchObject({ status: 500 });
        expect(await stateOf(database)).toBe(before);
      } finally {
        await relent();
      }
      // Nothing is remembered of a failure.
      const answer = await call(url, name, request, headers);
      expect(answer.status).toBeLessThan(300);
      expect(answer.headers.has('idempotency-replayed')).toBe(false);
      expect(await stateOf(database)).not.toBe(before);
    });

    test('is done once, and answers the same again', async () => {
      const { url, database } = app.current;
      const request = await prepare();
      const headers = { ...caller.headers, ...newKey() };
      const first = await call(url, name, request, headers);
      expect(first.status).toBeLessThan(300);
      const after = await stateOf(database);
      const again = await call(url, name, request, headers);
      expect(again.headers.get('idempotency-replayed')).toBe('true');
      expect(again).toMatchObject({ status: first.status, text: first.text });
      expect(again.headers.get('location')).toBe(first.headers.get('location'));
      expect(await stateOf(database)).toBe(after);
    });
  });

  test('is the same request over REST and over RPC', async () => {
    const { url, database } = app.current;
    const request = await prepare();
    const headers = { ...caller.headers, ...newKey() };
    const first = await overRpc(url, name, request, headers);
    const after = await stateOf(database);
    const again = await overRest(url, name, request, headers);
    expect(again.headers.get('idempotency-replayed')).toBe('true');
    expect(await stateOf(database)).toBe(after);
    const last = await overRpc(url, name, request, headers);
    expect(last.text).toBe(first.text);
  });
});
