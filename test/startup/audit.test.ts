import { spawn } from 'node:child_process';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { makeTempDir } from '../support/built-server.js';

const script = path.join(import.meta.dirname, '..', '..', '.ci', 'audit.mjs');

/** Runs the audit of CI against a registry that answers everything by `answer`. */
async function audit(answer: RequestListener): Promise<{ code: number | null; said: string }> {
  const server = createServer((request, response) => {
    request.resume().once('end', () => answer(request, response));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const child = spawn(process.execPath, [script], {
    env: {
      PATH: process.env['PATH'],
      HOME: await makeTempDir(),
      npm_config_registry: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      npm_config_fetch_retries: '0',
    },
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, said };
}

const answering =
  (body: string, type = 'application/json', status = 200): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, { 'content-type': type }).end(body);

const advisory = { id: 1, url: 'https://example.com/1', title: 'a fault', severity: 'high', vulnerable_versions: '*' };
const known: RequestListener = (request, response) => {
  const isAudit = request.method === 'POST';
  const name = decodeURIComponent((request.url ?? '').slice(1));
  const packument = { name, versions: { '5.0.0': { name, version: '5.0.0' } }, 'dist-tags': {} };
  answering(JSON.stringify(isAudit ? { fastify: [advisory] } : packument))(request, response);
};

test.each<readonly [string, RequestListener]>([
  ['HTML', answering('<html>hello</html>', 'text/html')],
  ['JSON of another shape', answering('{"fastify": {"score": 3}}')],
  ['what makes npm crash', answering('{"fastify": [null]}')],
  ['404', answering('{}', 'application/json', 404)],
])('a registry that answers %s is said to have answered no audit', async (_name, answer) => {
  const { code, said } = await audit(answer);
  expect(said).toMatch(/SKIPPED: the registry answers no audit \(.+\)/);
  expect(code).toBe(0);
});

test('what is known against a package fails, and is told', async () => {
  const { code, said } = await audit(known);
  expect(said).toContain('high: fastify *: a fault (https://example.com/1)');
  expect(code).toBe(1);
});

test('nothing known is no failure', async () => {
  const { code, said } = await audit(answering('{}'));
  expect(said).toMatch(/ok, nothing is known against \d+ packages/);
  expect(code).toBe(0);
});
