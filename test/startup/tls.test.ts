import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startMuster } from '../cli/support/muster.js';
import { makeTempDir, type ServerProcess, useBuiltServer } from '../support/built-server.js';
import { createAuthority, writeCertificate } from '../support/certificates.js';
import { createTestDatabase } from '../support/database.js';
import { rest } from '../support/rest.js';
import { openTlsCaller, openTlsSession } from '../support/tls-clients.js';
import { soon, until } from '../support/until.js';
import { methodOf } from '../support/wire/grpc-js-api.js';
import { exchange } from '../support/wire/raw-grpc.js';

const startServer = useBuiltServer();
const authority = createAuthority();
const { ca } = authority;

async function setUp() {
  const dir = await makeTempDir();
  const files = await writeCertificate(dir, authority.issue('first'));
  await writeFile(path.join(dir, 'ca.pem'), ca);
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const server = startServer({
    databaseUrl: database.url,
    env: { MUSTER_TLS_CERT: files.cert, MUSTER_TLS_KEY: files.key, MUSTER_LOG_LEVEL: 'info' },
  });
  const url = await server.ready();
  return { dir, files, server, url, caFile: path.join(dir, 'ca.pem') };
}

function count(server: ServerProcess, name: string): number {
  return server.lines.filter(({ event }) => event === name).length;
}

test('certificates are swapped under load, and no request fails', async () => {
  const { dir, server, url } = await setUp();
  let over = false;
  const seen = new Set<string>();
  const done = { kept: 0, fresh: 0, session: 0, sessions: 0, grpc: 0 };

  const load = [
    async () => {
      const kept = openTlsCaller(url, ca);
      for (; !over; done.kept++) {
        const { status, server: name } = await kept.call('POST', '/v1/jobs', { kind: 'kept' });
        expect({ status, name }).toEqual({ status: 201, name: 'first' });
      }
    },
    async () => {
      for (; !over; done.fresh++) {
        const fresh = openTlsCaller(url, ca);
        const answer = await fresh.call('GET', '/v1/jobs?limit=1');
        expect(answer.status).toBe(200);
        seen.add(answer.server);
        fresh.close();
      }
    },
    async () => {
      const session = openTlsSession(url, ca);
      for (; !over; done.session++) {
        const { headers } = await exchange(session, { ':method': 'GET', ':path': '/v1/jobs?limit=1' });
        expect(headers[':status']).toBe(200);
      }
    },
    async () => {
      for (; !over; done.sessions++) {
        const session = openTlsSession(url, ca);
        const { headers } = await exchange(session, { ':method': 'GET', ':path': '/v1/jobs?limit=1' });
        expect(headers[':status']).toBe(200);
        session.close();
      }
    },
    async () => {
      const client = new grpc.Client(new URL(url).host, grpc.credentials.createSsl(Buffer.from(ca)));
      onTestFinished(() => client.close());
      const { path: method, requestSerialize, responseDeserialize } = methodOf('CreateJob');
      for (; !over; done.grpc++) {
        await new Promise((resolve, reject) => {
          client.makeUnaryRequest(method, requestSerialize, responseDeserialize, { kind: 'grpc' }, (error, answer) =>
            error === null ? resolve(answer) : reject(error),
          );
        });
      }
    },
  ].map((run) => run());
  const failed = Promise.all(load);

  /** Until every kind of caller has made some more requests. */
  const progress = async (): Promise<void> => {
    const before = { ...done };
    const names = Object.keys(done) as (keyof typeof done)[];
    await Promise.race([failed, until('all have gone on', () => names.every((name) => done[name] > before[name] + 3))]);
  };

  await progress();
  for (let round = 1; round <= 5; round++) {
    await writeCertificate(dir, authority.issue(`round ${round}`));
    server.kill('SIGHUP');
    await until('it is read', () => count(server, 'tls_reloaded') === round);
    await progress();
    expect(seen).toContain(`round ${round}`);
  }
  await writeFile(path.join(dir, 'key.pem'), 'nonsense');
  server.kill('SIGHUP');
  expect(await server.logged('tls_reload_failed')).toMatchObject({
    message: expect.stringContaining(`MUSTER_TLS_KEY: '${path.join(dir, 'key.pem')}'`) as string,
  });
  await progress();
  over = true;
  await failed;
  expect([...seen].at(-1)).toBe('round 5');
});

test('the command line and the worker talk to it, where they trust its authority', async () => {
  const { url, caFile } = await setUp();
  const env = { MUSTER_URL: url, NODE_EXTRA_CA_CERTS: caFile };
  const submitted = await startMuster(['jobs', 'submit', 'echo', '--payload', '"x"'], { env }).ended;
  expect(submitted).toMatchObject({ code: 0, stderr: '' });
  const listed = await startMuster(['jobs', 'list'], { env }).ended;
  expect(listed).toMatchObject({ code: 0, stderr: '' });
  expect(listed.stdout).toContain('echo');
  const tail = startMuster(['events', 'tail', '--after', '0'], { env });
  await tail.line('the job', (line) => line.includes('JobQueued'));
  const distrustful = await startMuster(['jobs', 'list'], { env: { MUSTER_URL: url } }).ended;
  expect(distrustful.code).not.toBe(0);
  expect(distrustful.stderr).toMatch(/certificate/);
});

describe('SIGHUP', () => {
  test('without TLS changes nothing, and is logged', async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    const server = startServer({ databaseUrl: database.url });
    const url = await server.ready();
    server.kill('SIGHUP');
    await server.logged('nothing_to_reload');
    expect((await rest(url, 'GET', '/healthz')).status).toBe(200);
    server.kill('SIGTERM');
    expect(await soon('the end', server.exit)).toEqual({ code: 0, signal: null });
  });

  test('many at once are taken one after the other', async () => {
    const { server, url } = await setUp();
    for (let n = 0; n < 50; n++) {
      server.kill('SIGHUP');
      await turn();
    }
    await server.logged('tls_reloaded');
    expect((await openTlsCaller(url, ca).call('GET', '/healthz')).status).toBe(200);
  });
});

describe('the start is refused, and the setting named', () => {
  test.each<readonly [string, Readonly<Record<string, string>>, RegExp]>([
    ['a certificate without key', { MUSTER_TLS_CERT: 'cert.pem' }, /MUSTER_TLS_KEY: is needed/],
    ['a key without certificate', { MUSTER_TLS_KEY: 'key.pem' }, /MUSTER_TLS_CERT: is needed/],
    [
      'no such file',
      { MUSTER_TLS_CERT: 'none.pem', MUSTER_TLS_KEY: 'key.pem' },
      /MUSTER_TLS_CERT: '.*none\.pem'.*ENOENT/,
    ],
    ['a directory', { MUSTER_TLS_CERT: '', MUSTER_TLS_KEY: 'key.pem' }, /MUSTER_TLS_CERT/],
    [
      'the key of another',
      { MUSTER_TLS_CERT: 'cert.pem', MUSTER_TLS_KEY: 'other.pem' },
      /MUSTER_TLS_KEY: .*not the key/,
    ],
    [
      'the files mixed up',
      { MUSTER_TLS_CERT: 'key.pem', MUSTER_TLS_KEY: 'cert.pem' },
      /MUSTER_TLS_CERT: .*certificate/,
    ],
  ])('%s', async (_name, names, words) => {
    const dir = await makeTempDir();
    await writeCertificate(dir, authority.issue('first'));
    await writeFile(path.join(dir, 'other.pem'), authority.issue('other').key);
    const env = Object.fromEntries(Object.entries(names).map(([name, file]) => [name, path.join(dir, file)]));
    const server = startServer({ dataDir: path.join(dir, 'data'), env });
    expect((await soon('the refusal', server.exit)).code).toBeGreaterThan(0);
    expect(server.stderr()).toMatch(words);
  });
});
