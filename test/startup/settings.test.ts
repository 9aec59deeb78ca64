import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { readSettings } from '../../src/platform/config.js';
import { serverSettings } from '../../src/settings.js';
import { makeTempDir, type ServerProcessOptions, useBuiltServer } from '../support/built-server.js';
import { soon } from '../support/until.js';

const startServer = useBuiltServer();

/** Starts what must not start. Answers what it says, after seeing that it has begun nothing. */
async function refused(options: ServerProcessOptions): Promise<string> {
  const dataDir = path.join(await makeTempDir(), 'data');
  const server = startServer({ dataDir, ...options });
  const { code } = await soon('the refusal', server.exit);
  expect(code).toBeGreaterThan(0);
  expect(server.lines.map(({ event }) => event)).not.toContain('ready');
  expect(existsSync(dataDir)).toBe(false);
  expect(server.stderr()).toMatch(/^muster: /);
  expect(server.stderr()).not.toContain('    at ');
  return server.stderr();
}

/** Bad values of each setting that has such; the first of each is tried on a real server. */
const bad: Readonly<Record<keyof typeof serverSettings, readonly string[]>> = {
  host: ['0.0.0.0', '::', '192.0.2.1', 'example.com', '127.0.0.1.example.com'],
  port: ['65536', '-1', '80.5', 'http', '1e3', ' 80'],
  // Any name can be a directory's; those that cannot be used are refused by the file system.
  dataDir: [],
  committer: ['me', 'me@example.org', '<me@example.org>', 'Me <>'],
  databaseUrl: ['nonsense', 'mysql://localhost/muster', 'postgres://localhost:port/muster', 'postgres:/muster'],
  logLevel: ['loud', 'INFO'],
  allowedHosts: [],
  oidcIssuer: ['example.com', 'ftp://example.com'],
  // Any text can be a name.
  oidcAudience: [],
  oidcJwksUrl: ['keys.json'],
  oidcRoleClaim: [],
  rateLimit: ['600', '0/60s', '600/60', '600/10ms', '600/367d', 'on'],
  rateLimitWrites: ['60s/600'],
  oidcRoles: ['admins', 'admins=root', '=human'],
  poolSize: ['1', '0', '501', 'ten'],
  listen: ['yes', 'ON'],
  gateConcurrency: ['-1', '1001', 'all'],
  pollInterval: ['1', '0ms', '-1s', '1 s', '1w'],
  jobRetention: ['never', '1'],
  eventRetention: ['never', '1'],
  eventCount: ['999', '0', '-1', 'all'],
  streamStall: ['never', '0s'],
  maxBody: ['8MB', '0', '-1', 'big'],
  maxMessage: ['32 MiB', '0', '1.5GiB'],
  // Less than the largest message takes while it is unpacked.
  maxInFlight: ['1MiB', '0', '127MiB'],
  requestTimeout: ['never', '0s'],
  connectionLimit: ['0', '-1', 'all'],
  tlsCert: ['/nonexistent/cert.pem'],
  tlsKey: ['/nonexistent/key.pem'],
  shutdownGrace: ['soon', '10'],
};

/** Looked at by those who use them, before they begin anything. */
const checkedLater: readonly string[] = ['host', 'databaseUrl', 'maxInFlight', 'tlsCert', 'tlsKey'];

describe('a bad value stops the start and is named', () => {
  const entries = Object.entries(serverSettings).map(([name, { env, flag }]) => ({
    name,
    env,
    flag,
    values: bad[name as keyof typeof bad],
  }));

  test.each(entries.filter(({ values }) => values.length > 0))('of $env', async ({ name, env, values }) => {
    for (const value of checkedLater.includes(name) ? values : values.slice(0, 1)) {
      expect(await refused({ env: { [env]: value } }), value).toContain(env);
    }
  });

  test('whatever it is', () => {
    for (const { name, env, flag, values } of entries) {
      if (checkedLater.includes(name)) continue;
      for (const value of values) {
        const settings = { [name]: serverSettings[name as keyof typeof bad] };
        expect(() => readSettings(settings, { flags: {}, env: { [env]: value } }), value).toThrow(`${env}: '${value}'`);
        expect(() => readSettings(settings, { flags: { [flag]: value }, env: {} }), value).toThrow(
          `--${flag}: '${value}'`,
        );
      }
    }
  });

  test('as a flag, under the name of the flag', async () => {
    expect(await refused({ args: ['--port=99999'] })).toContain(`--port: '99999'`);
  });

  test('also when it stands in the environment of a good flag', async () => {
    expect(await refused({ args: ['--log-level=info', '--port', '-1'], env: { MUSTER_LOG_LEVEL: 'x' } })).toMatch(
      /port/,
    );
  });

  test('a flag that there is not', async () => {
    expect(await refused({ args: ['--prot=80'] })).toContain('--prot');
  });

  test('a command that there is not', async () => {
    expect(await refused({ args: ['srve'] })).toContain('srve');
  });

  test('a data directory that is a file', async () => {
    const dir = await makeTempDir();
    const file = path.join(dir, 'file');
    await writeFile(file, '');
    const server = startServer({ dataDir: file });
    expect((await soon('the refusal', server.exit)).code).toBe(1);
    expect(server.stderr()).toContain('MUSTER_DATA_DIR');
  });
});

test('the flag wins over the variable, and an empty variable counts as unset', async () => {
  const probe = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => probe.once('listening', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  const server = startServer({
    dataDir: await makeTempDir(),
    args: ['--port', String(port)],
    env: { MUSTER_PORT: '1', MUSTER_JOB_RETENTION: '', MUSTER_HOST: 'localhost' },
  });
  expect(await server.ready()).toBe(`http://localhost:${port}`);
});
