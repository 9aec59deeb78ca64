import { describe, expect, test } from 'vitest';
import { connectRaw, rawRequest } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { openWebSocket, UpgradeRefused } from '../support/websocket.js';

const app = sharedTestApp();
const path = '/api/events/stream';

async function stillServes(): Promise<void> {
  expect((await rest(app.current.url, 'GET', '/healthz')).status).toBe(200);
}

const upgrade = [
  `GET ${path} HTTP/1.1`,
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];

describe('who may open one', () => {
  test('a program, which sends no Origin, and a page of this machine', async () => {
    await openWebSocket(app.current.url, path).opened;
    await openWebSocket(app.current.url, path, { origin: 'http://localhost:3000' }).opened;
  });

  test.each([
    'http://evil.example',
    'null',
    'file://',
    'https://localhost.evil.example',
    'http://localhost@evil.example',
  ])('no page of %s', async (origin) => {
    const { opened } = openWebSocket(app.current.url, path, { origin });
    await expect(opened).rejects.toMatchObject({ status: 403, json: { error: 'forbidden' } });
    await expect(opened).rejects.toBeInstanceOf(UpgradeRefused);
    await stillServes();
  });

  test.each([
    ['a foreign Host', ['Host: evil.example'], 403],
    ['no Host', [], 400],
    ['two of them', ['Host: localhost', 'Host: evil.example'], 400],
    ['a name that leads here by DNS', ['Host: 127.0.0.1.nip.io'], 403],
  ])('nobody by %s', async (_name, hosts, status) => {
    const answer = await rawRequest(app.current.url, [...upgrade, ...hosts]);
    expect(answer).toMatchObject({ status, headers: { connection: 'close' } });
    await stillServes();
  });

  test.each([
    ['a key that is none', ['Sec-WebSocket-Key: x']],
    ['a version that there is not', ['Sec-WebSocket-Version: 99']],
    ['POST', []],
  ])('nobody with %s', async (name, headers) => {
    const names = new Set(headers.map((line) => line.split(':')[0]));
    const lines = upgrade.filter((line) => !names.has(line.split(':')[0] ?? ''));
    if (name === 'POST') lines[0] = `POST ${path} HTTP/1.1`;
    const answer = await rawRequest(app.current.url, [...lines, 'Host: localhost', ...headers]);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.status).toBeLessThan(500);
    await stillServes();
  });

  test('who is refused and stays is let go', async () => {
    const connection = await connectRaw(app.current.url);
    connection.write(`${[...upgrade, 'Host: evil.example'].join('\r\n')}\r\n\r\n`);
    expect((await connection.answer()).status).toBe(403);
    const feed = setInterval(() => connection.socket.writable && connection.write('more'), 20);
    connection.socket.on('error', () => undefined);
    await new Promise((resolve) => connection.socket.once('close', resolve));
    clearInterval(feed);
  });
});

/** What a client sees of what it sends as its first message. */
async function told(message: string | Buffer): Promise<{ code: number; error: unknown }> {
  const client = openWebSocket(app.current.url, path);
  await client.opened;
  client.socket.send(message);
  return { code: await client.closed, error: client.messages.find(({ type }) => type === 'error')?.['error'] };
}

describe('messages', () => {
  test.each([
    ['nothing', ''],
    ['no JSON', 'subscribe'],
    ['null', 'null'],
    ['an array', '[{"type":"subscribe"}]'],
    ['another type', '{"type":"publish"}'],
    ['a type of no type', '{"type":{"toString":1}}'],
    ['an unknown field', '{"type":"subscribe","as":"root"}'],
    ['a prototype', '{"type":"subscribe","__proto__":{"after":0}}'],
    ['a prototype in the filter', '{"type":"subscribe","filter":{"__proto__":{"type":"JobDone"}}}'],
    ['a constructor', '{"type":"subscribe","filter":{"constructor":1}}'],
    ['a filter that is none', '{"type":"subscribe","filter":[]}'],
    ['a filter of wrong types', '{"type":"subscribe","filter":{"type":1}}'],
    ['NUL', '{"type":"subscribe","filter":{"task_id":"\\u0000"}}'],
    ['a place below nothing', '{"type":"subscribe","after":-1}'],
    ['a place beyond all numbers', '{"type":"subscribe","after":1e400}'],
    ['a place that is no number', '{"type":"subscribe","after":"0"}'],
    ['depth', `{"type":"subscribe","filter":${'['.repeat(20_000)}${']'.repeat(20_000)}}`],
    ['bytes that are no text', Buffer.from([0xff, 0xfe, 0x00])],
  ])('%s', async (_name, message) => {
    expect(await told(message)).toEqual({ code: 1008, error: 'invalid_request' });
    await stillServes();
  });

  test('of more than 64 KiB', async () => {
    expect((await told('x'.repeat(65 * 1024))).code).toBe(1009);
    await stillServes();
  });

  test.each([
    ['a frame that is not masked', Buffer.of(0x81, 0x02, 0x7b, 0x7d)],
    ['a reserved bit', Buffer.of(0xf1, 0x80, 0, 0, 0, 0)],
    ['an opcode of nobody', Buffer.of(0x83, 0x80, 0, 0, 0, 0)],
    ['a continuation of nothing', Buffer.of(0x80, 0x80, 0, 0, 0, 0)],
    ['a ping in pieces', Buffer.of(0x09, 0x80, 0, 0, 0, 0)],
    ['a ping that is too long', Buffer.of(0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0)],
    ['a length of 2^63', Buffer.of(0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)],
    ['text that is no UTF-8', Buffer.of(0x81, 0x81, 0, 0, 0, 0, 0xff)],
  ])('%s ends the connection', async (_name, frame) => {
    const connection = await connectRaw(app.current.url);
    connection.write(`${[...upgrade, 'Host: localhost'].join('\r\n')}\r\n\r\n`);
    const opened = new Promise((resolve) => connection.socket.once('data', resolve));
    await opened;
    connection.write(frame);
    await connection.closed();
    await stillServes();
  });
});
