import { describe, expect, test } from 'vitest';
import { startTestApp } from '../support/app.js';
import { makeTempDir, useBuiltServer } from '../support/built-server.js';
import { layCluster } from '../support/cluster.js';
import { createTestDatabase } from '../support/database.js';
import { rest } from '../support/rest.js';
import { runMuster } from './support/muster.js';
import { useOneProcess } from './support/one-process.js';

const startServer = useBuiltServer();
const inOneProcess = useOneProcess();
const secretLine = /^mst_[\w-]{43}\n$/;

describe('muster token', () => {
  test('create, list and revoke, for people and as JSON', async () => {
    const app = await startTestApp();
    const env = { MUSTER_URL: app.url };
    const none = await inOneProcess(['token', 'list'], { env });
    expect(none).toMatchObject({ code: 0, stdout: 'There are no tokens; whoever uses this machine is let in.\n' });

    const made = await inOneProcess(['token', 'create', '--role', 'human', '--name', 'me'], { env });
    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(secretLine) as string });
    expect(made.stderr).toMatch(/^tok_\w+ is a human's token\. Its secret is shown this once:\n$/);
    const own = { ...env, MUSTER_TOKEN: made.stdout.trim() };
    // Without the token it is an error that says what to do.
    expect(await inOneProcess(['token', 'list'], { env })).toMatchObject({
      code: 1,
      stderr: 'muster: unauthorized: Send a token, as in Authorization: Bearer ...\n',
    });

    const args = ['--role', 'agent', '--name', 'builder', '--capability', 'jobs.work', '--expires', '30d', '--json'];
    const agent = await inOneProcess(['token', 'create', ...args], { env: own });
    const { id, secret, ...shown } = JSON.parse(agent.stdout) as Record<string, string>;
    expect(shown).toMatchObject({ role: 'agent', name: 'builder', capabilities: ['jobs.work'], task_id: null });
    expect(Date.parse(shown['expires_at'] ?? '') - Date.parse(shown['created_at'] ?? '')).toBeGreaterThan(
      29 * 86_400_000,
    );

    const table = (await inOneProcess(['token', 'list'], { env: own })).stdout.split('\n');
    expect(table[0]).toMatch(/^ID +ROLE +NAME +CREATED +EXPIRES +STATE +CAPABILITIES$/);
    expect(table[1]).toMatch(new RegExp(`^${id} +agent +builder +\\S+Z +\\S+Z +valid +jobs\\.work$`));
    expect(table[2]).toMatch(/^tok_\w+ +human +me +\S+Z +never +valid$/);
    const listed = await inOneProcess(['token', 'list', '--json'], { env: own });
    expect(listed.stdout).not.toContain(secret ?? 'mst_');
    expect(JSON.parse(listed.stdout)).toEqual(
      (await rest(app.url, 'GET', '/api/tokens', undefined, { authorization: `Bearer ${own.MUSTER_TOKEN}` })).json,
    );

    expect(await inOneProcess(['token', 'revoke', id ?? ''], { env: own })).toEqual({
      code: 0,
      stdout: `${id} is revoked\n`,
      stderr: '',
    });
    const refused = await inOneProcess(['jobs', 'list'], { env: { ...env, MUSTER_TOKEN: secret ?? '' } });
    expect(refused).toMatchObject({ code: 1, stderr: 'muster: unauthorized: The token has been revoked.\n' });
  });

  test.each([
    [['--name', 'x'], '--role ROLE is required'],
    [['--role', 'root', '--name', 'x'], "--role: 'root' is none of human, agent, worker, viewer"],
    [['--role', 'human'], '--name NAME is required'],
    [['--role', 'human', '--name', 'x', '--expires', 'soon'], "--expires: 'soon' is no duration"],
  ])('create %j makes no sense', async (args, message) => {
    const { code, stderr } = await inOneProcess(['token', 'create', ...args]);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('--direct makes a token without a server', () => {
  test('in a database of its own, which a server that others can reach then takes', async () => {
    const database = await createTestDatabase();
    try {
      const open = { databaseUrl: database.url, env: { MUSTER_HOST: '0.0.0.0' } };
      const refused = startServer(open);
      expect((await refused.exit).code).toBe(2);
      expect(refused.stderr()).toContain(
        "MUSTER_HOST: '0.0.0.0' is open to others, and there is no token; make one with 'muster token create --direct --role human --name ...'",
      );
      const env = { DATABASE_URL: database.url };
      const first = ['token', 'create', '--direct', '--name', 'first'];
      expect(await runMuster([...first, '--role', 'worker'], { env })).toMatchObject({ code: 2 });
      const made = await runMuster([...first, '--role', 'human'], { env });
      expect(made.stdout).toMatch(secretLine);

      const server = startServer(open);
      const url = (await server.ready()).replace('0.0.0.0', '127.0.0.1');
      expect((await rest(url, 'GET', '/v1/jobs')).status).toBe(401);
      const authorization = `Bearer ${made.stdout.trim()}`;
      expect((await rest(url, 'GET', '/v1/jobs', undefined, { authorization })).status).toBe(200);
      // A running server hears of one that is made like that.
      const second = await runMuster(
        ['token', 'create', '--direct', '--role', 'viewer', '--name', 'second', '--json'],
        { env },
      );
      const { secret } = JSON.parse(second.stdout) as { secret: string };
      expect((await rest(url, 'GET', '/v1/jobs', undefined, { authorization: `Bearer ${secret}` })).status).toBe(200);
      server.kill('SIGTERM');
      await server.exit;
    } finally {
      await database.drop();
    }
  });

  test('in the embedded database, unless a server runs on it', async () => {
    const dataDir = await makeTempDir();
    layCluster(dataDir);
    const server = startServer({ dataDir });
    const url = await server.ready();
    const args = ['token', 'create', '--direct', '--role', 'human', '--name', 'me', '--data-dir', dataDir];
    const busy = await runMuster(args);
    expect(busy.code).toBe(1);
    expect(busy.stderr).toContain('is in use by');
    expect((await rest(url, 'GET', '/v1/jobs')).status).toBe(200);
    server.kill('SIGTERM');
    await server.exit;

    const made = await runMuster(args);
    expect(made.stdout).toMatch(secretLine);
    const again = startServer({ dataDir });
    expect((await rest(await again.ready(), 'GET', '/v1/jobs')).status).toBe(401);
  });
});
