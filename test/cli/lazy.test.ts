import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { makeTempDir, useBuiltServer } from '../support/built-server.js';
import { sharedTestApp } from '../support/shared-app.js';
import { runMuster } from './support/muster.js';

useBuiltServer();
const app = sharedTestApp();

/** The files that Node loaded to run a command: V8 counts how often each was run. */
async function loadedBy(args: readonly string[]): Promise<readonly string[]> {
  const dir = await makeTempDir();
  await runMuster(args, { env: { NODE_V8_COVERAGE: dir, MUSTER_URL: app.current.url } });
  return readdirSync(dir).flatMap((file) => {
    const { result } = JSON.parse(readFileSync(path.join(dir, file), 'utf8')) as { result: { url: string }[] };
    return result.map(({ url }) => url).filter((url) => url.startsWith('file:'));
  });
}

const rooms = {
  server: /\/dist\/src\/app\.js$|\/dist\/src\/modules\/|\/node_modules\/(fastify|pg|knex)\//,
  client: /\/dist\/src\/client\/|\/node_modules\/@connectrpc\/connect-node\//,
};

test.each([[['jobs', 'list']], [['events', 'tail']]])('muster %j loads no server', async (args) => {
  const loaded = await loadedBy(args);
  expect(loaded.some((url) => rooms.client.test(url))).toBe(true);
  expect(loaded.filter((url) => rooms.server.test(url))).toEqual([]);
});

/** Loads all that a server needs, and ends. */
const noDatabase = ['serve', '--port', '0', '--database-url', 'postgres://nobody@127.0.0.1:9/none'];

test('a server loads no client', async () => {
  const loaded = await loadedBy(noDatabase);
  expect(loaded.some((url) => rooms.server.test(url))).toBe(true);
  expect(loaded.filter((url) => url.includes('/dist/src/client/'))).toEqual([]);
});

test('a server without a collector loads nothing that traces', async () => {
  const loaded = await loadedBy(noDatabase);
  expect(loaded.some((url) => rooms.server.test(url))).toBe(true);
  const tracing = /\/dist\/src\/platform\/tracing\.js$|\/@opentelemetry\/(sdk-|exporter-|otlp-|resources|core)/;
  expect(loaded.filter((url) => tracing.test(url))).toEqual([]);
});

test('help loads neither', async () => {
  const loaded = await loadedBy(['--help']);
  expect(loaded.some((url) => url.endsWith('/dist/src/cli/help.js'))).toBe(true);
  expect(loaded.filter((url) => rooms.server.test(url) || rooms.client.test(url))).toEqual([]);
});
