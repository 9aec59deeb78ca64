import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { routesOf } from '../../src/platform/http/gateway/routes.js';
import type { Plain } from '../../src/platform/rpc/codec.js';
import { audience, startIdentityProvider } from '../access/support/identity-provider.js';
import { bearer, makeToken } from '../access/support/tokens.js';
import { ways } from '../access/support/ways.js';
import { type Line, useBuiltServer } from '../support/built-server.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { declaredServices, declaredStubs } from '../support/declared-services.js';
import type { RestClaim } from '../support/jobs-client.js';
import { connectRaw } from '../support/raw-http.js';
import { rest } from '../support/rest.js';
import { openEventStream } from '../support/sse.js';
import { soon, until } from '../support/until.js';
import { openWebSocket } from '../support/websocket.js';
import { exchange, framed, openSession } from '../support/wire/raw-grpc.js';
import { startWorker } from '../support/work-client.js';

const startServer = useBuiltServer();

/** Stands in everything that a server is told and has no business to tell on. */
const secret = `s3cret-${randomUUID()}`;

/** What the server does by itself, or for nobody in particular, such as for all whose statements share a connection. */
const unasked: readonly string[] = [
  'migrated',
  'ready',
  'nothing_to_reload',
  'stopping',
  'stopped',
  'job_attempt_lost',
  'loop_failed',
  'database_unreachable',
  'database_connection_lost',
  'wakeup_not_sent',
  'gauge_not_read',
  'gates_not_claimed',
];

type Headers = Readonly<Record<string, string>>;

async function callInEveryWay(url: string, name: string, input: Plain, headers: Headers = {}): Promise<string[]> {
  const method = (await declaredServices()).flatMap((service) => service.methods).find((each) => each.name === name);
  if (method === undefined) throw new Error(`there is no ${name}`);
  const routes = routesOf(await declaredStubs()).filter(({ rpc }) => rpc.desc === method);
  const outcomes: string[] = [];
  for (const call of Object.values(ways)) {
    const outcome = await call({ url, method, routes, input, headers });
    if (outcome !== undefined) outcomes.push(outcome);
  }
  return outcomes;
}

/** Jobs from their beginning to every end that there is, over REST and a worker's stream. Answers the tokens of their leases. */
async function workOff(url: string): Promise<readonly string[]> {
  expect(new Set(await callInEveryWay(url, 'CreateJob', { kind: 'k', payload: { secret } }))).toEqual(new Set(['ok']));
  const key = { 'idempotency-key': randomUUID() };
  for (let n = 0; n < 2; n++) await rest(url, 'POST', '/v1/jobs', { kind: 'k', payload: secret }, key);
  const claim = { worker_id: 'w', kinds: ['k'], max: 4 };
  const [one, two, three] = (await rest(url, 'POST', '/v1/jobs/claim', claim)).json as RestClaim[];
  const report = (job: RestClaim | undefined, verb: string, more: object) =>
    rest(url, 'POST', `/v1/jobs/${job?.id}/${verb}`, { lease_token: job?.lease_token, ...more });
  expect((await report(one, 'heartbeat', { progress: { secret } })).status).toBe(200);
  expect((await report(one, 'complete', { result: { secret } })).status).toBe(200);
  expect((await report(two, 'fail', { error: { code: 'broken', message: secret } })).status).toBe(200);
  expect((await report(two, 'complete', { lease_token: secret, result: secret })).status).toBe(409);
  expect((await rest(url, 'DELETE', `/v1/jobs/${three?.id}`)).status).toBe(200);

  const worker = await startWorker(url, { kinds: ['k'], capacity: 1 });
  const { id, leaseToken } = await worker.until('it has a job', ({ jobs }) => jobs[0]);
  worker.update({ completed: [{ id, leaseToken, resultJson: JSON.stringify(secret) }] });
  await worker.until('its result is stored', ({ outcomes }) => outcomes[0]);
  worker.end();
  await worker.over;
  return [one, two, three].map((job) => job?.lease_token ?? '').concat(leaseToken);
}

/** What no server should be sent. */
async function misbehave(url: string): Promise<void> {
  const json = { 'content-type': 'application/json' };
  const statuses = [
    await rest(url, 'POST', '/v1/jobs', `{"kind": "k", "payload": "${secret}`, json),
    await rest(url, 'POST', '/v1/jobs', { kind: 'k', [secret]: 1 }),
    await rest(url, 'POST', '/v1/jobs', { kind: secret.repeat(20) }),
    await rest(url, 'POST', '/v1/jobs', secret, { 'content-type': 'text/plain' }),
    await rest(url, 'POST', '/v1/jobs', { kind: 'k', payload: secret.repeat(1000) }),
    await rest(url, 'GET', `/v1/jobs?cursor=${secret}`),
    await rest(url, 'GET', `/v1/jobs?${secret}=1`),
    await rest(url, 'GET', `/nothing?${secret}`),
    await rest(url, 'PUT', `/v1/jobs?${secret}`, { secret }),
    await rest(url, 'GET', '/v1/jobs', undefined, { 'x-correlation-id': `(${secret})` }),
    await rest(url, 'POST', '/muster.v1.JobService/CreateJob', `{"kind": "k", "payload": "${secret}`, json),
    await rest(url, 'POST', '/muster.v1.JobService/CreateJob', { kind: { secret } }),
  ].map(({ status }) => status);
  expect(statuses).toEqual([400, 400, 400, 415, 413, 400, 400, 404, 405, 200, 400, 400]);
  const session = openSession(url);
  for (const type of ['application/grpc', 'application/grpc+json', 'application/grpc-web+proto']) {
    const head = { ':path': '/muster.v1.JobService/CreateJob', 'content-type': type, te: 'trailers' };
    await exchange(session, head, [framed(Buffer.from(`\xff${secret}`))]);
  }
  for (const text of [`GET / HTTP/1.1\r\n${secret}\r\n\r\n`, `${secret}\r\n\r\n`]) {
    const raw = await connectRaw(url);
    raw.write(text);
    await soon('the refusal', raw.closed());
  }
  for (const message of [`{"${secret}`, { type: secret }, { type: 'subscribe', filter: { [secret]: 1 } }]) {
    const { opened, closed, send } = openWebSocket(url, '/api/events/stream');
    await opened;
    send(message);
    await soon('the refusal', closed);
  }
}

/** A database that fails, and says with what. */
async function breakDatabase(url: string, database: TestDatabase): Promise<void> {
  const create = () => callInEveryWay(url, 'CreateJob', { kind: 'k', payload: { secret } });
  const broken = (outcomes: readonly string[]) => expect(new Set(outcomes)).toEqual(new Set(['internal_error']));
  // "invalid input syntax for type integer" quotes what it is given; a violated check has the row in its detail.
  await database.query(`CREATE FUNCTION quote_it() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM (NEW.payload::text)::int; RETURN NEW; END $$`);
  await database.query('CREATE TRIGGER quote_it BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION quote_it()');
  broken(await create());
  await database.query('DROP TRIGGER quote_it ON jobs');
  await database.query(`ALTER TABLE jobs ADD CONSTRAINT clean CHECK (payload::text NOT LIKE '%cret%') NOT VALID`);
  broken(await create());
  await database.query('ALTER TABLE jobs DROP CONSTRAINT clean');
  await database.query('ALTER TABLE jobs RENAME TO jobs_away');
  broken(await create());
  await database.query('ALTER TABLE jobs_away RENAME TO jobs');
  // A connection whose statement failed is given up, so that there may be none.
  expect((await rest(url, 'GET', '/readyz')).status).toBe(200);
  await database.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'muster'`);
  await until('it has recovered', async () => (await rest(url, 'GET', '/readyz')).status === 200);
}

/** Callers of every kind. Answers what must not be told. */
async function letIn(url: string): Promise<readonly string[]> {
  const human = await makeToken({ url }, { role: 'human' });
  const worker = await makeToken({ url }, { role: 'worker' }, human);
  const wrong = { id: '', secret: `mst_${'w'.repeat(43)}` };
  for (const [headers, outcome] of [
    [bearer(human), 'not_found'],
    [bearer(wrong), 'unauthorized 401'],
    [{}, 'unauthorized 401'],
    [{ authorization: `Basic ${secret}` }, 'unauthorized 401'],
    [{ authorization: `Bearer eyJ${secret}.e30.${secret}` }, 'unauthorized 401'],
  ] as const) {
    expect(new Set(await callInEveryWay(url, 'GetJob', { id: 'none' }, headers))).toEqual(new Set([outcome]));
  }
  expect(new Set(await callInEveryWay(url, 'ListTokens', {}, bearer(worker)))).toEqual(new Set(['forbidden 403']));
  await callInEveryWay(url, 'SubscribeEvents', { after: 999_999_999 }, bearer(human));
  const { ticket } = (await rest(url, 'POST', '/api/tickets', {}, bearer(human))).json as { ticket: string };
  const stream = await openEventStream(`${url}/api/events/subscribe?ticket=${ticket}`);
  expect(stream.status).toBe(200);
  stream.close();
  expect((await rest(url, 'GET', `/api/events/subscribe?ticket=${ticket}`)).status).toBe(401);
  await openWebSocket(url, `/api/events/stream?ticket=${ticket}`).opened.catch(() => undefined);
  expect((await rest(url, 'DELETE', `/api/tokens/${worker.id}`, undefined, bearer(human))).status).toBe(200);
  return [human.secret, worker.secret, wrong.secret, ticket];
}

test('every line is JSON with all that it must have, and tells on nobody', { timeout: 120_000 }, async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const server = startServer({
    databaseUrl: database.url,
    env: { MUSTER_LOG_LEVEL: 'debug', MUSTER_MAX_BODY: '16KiB' },
  });
  const url = await server.ready();
  const leases = await workOff(url);
  expect(leases.filter((lease) => lease.length < 16)).toEqual([]);
  await misbehave(url);
  await breakDatabase(url, database);
  const secrets = [secret, ...leases, ...(await letIn(url))];
  server.kill('SIGHUP');
  await server.logged('nothing_to_reload');
  server.kill('SIGTERM');
  await server.exit;

  const { lines } = server;
  const told = lines.map((line) => JSON.stringify(line));
  for (const each of secrets) expect(told.filter((line) => line.includes(each))).toEqual([]);
  for (const each of secrets) expect(server.stderr()).not.toContain(each);
  expect(lines.filter((line) => !isWhole(line))).toEqual([]);
  const anonymous = lines.filter(({ corr_id }) => typeof corr_id !== 'string').map(({ event }) => event);
  expect([...new Set(anonymous)].filter((event) => !unasked.includes(event ?? ''))).toEqual([]);

  const count = (wanted: string) => lines.filter(({ event }) => event === wanted).length;
  expect(count('request_start')).toBe(count('request_end'));
  // That there was something to tell on: each of them three times in six ways.
  expect(count('internal_error')).toBe(18);
  const seen = new Set(lines.map(({ event }) => event));
  for (const event of [
    'job_failed',
    'job_canceled',
    'worker_connected',
    'worker_disconnected',
    'call_refused',
    'token_created',
    'token_revoked',
  ]) {
    expect(seen).toContain(event);
  }
  // Whether a connection was in use when it was lost is left to chance.
  expect(seen.has('database_unreachable') || seen.has('database_connection_lost')).toBe(true);
});

test('an identity provider, its JWTs and a reader that is cut off are told of in the same way', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const provider = await startIdentityProvider();
  const server = startServer({
    databaseUrl: database.url,
    env: {
      MUSTER_LOG_LEVEL: 'debug',
      MUSTER_OIDC_ISSUER: provider.issuer,
      MUSTER_OIDC_AUDIENCE: audience,
      MUSTER_STREAM_STALL: '500ms',
    },
  });
  const url = await server.ready();
  const jwts = {
    good: await provider.token(),
    viewer: await provider.token({ muster_role: 'viewer' }),
    roleless: await provider.token({ muster_role: secret }),
    expired: await provider.token({ exp: 1_000_000_000 }),
    foreign: await provider.token({ aud: secret }),
    unknown: await provider.token({}, { kid: secret }),
  };
  const ask = async (jwt: string): Promise<Set<string>> =>
    new Set(await callInEveryWay(url, 'CreateJob', { kind: 'k', payload: secret }, { authorization: `Bearer ${jwt}` }));
  expect(await ask(jwts.good)).toEqual(new Set(['ok']));
  for (const jwt of [jwts.viewer, jwts.roleless]) expect(await ask(jwt)).toEqual(new Set(['forbidden 403']));
  for (const jwt of [jwts.expired, jwts.foreign, jwts.unknown, `${jwts.good}x`]) {
    expect(await ask(jwt)).toEqual(new Set(['unauthorized 401']));
  }

  const reader = await connectRaw(url);
  reader.socket.pause();
  const head = ['GET /api/events/subscribe?after=0 HTTP/1.1', 'Host: localhost', `Authorization: Bearer ${jwts.good}`];
  reader.write(`${head.join('\r\n')}\r\n\r\n`);
  // More than all buffers between the two hold.
  const payload = JSON.stringify({ text: secret.repeat(2500) });
  for (let n = 0; n < 12; n++) {
    await database.query(
      `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, job_ids, payload)
       SELECT 1, now(), 'JobQueued', 'Rest', 'human', 'local', ARRAY['job_' || n], $1::json FROM generate_series(1, 20) n`,
      [payload],
    );
  }
  await server.logged('reader_cut_off');
  server.kill('SIGTERM');
  await server.exit;

  const { lines } = server;
  const told = lines.map((line) => JSON.stringify(line)).concat(server.stderr());
  // Of a JWT not even a part: its claims are as good as said when the middle of it is.
  const parts = Object.values(jwts).flatMap((jwt) => jwt.split('.').slice(1));
  for (const each of [secret, ...parts]) expect(told.filter((line) => line.includes(each))).toEqual([]);
  expect(lines.filter((line) => !isWhole(line))).toEqual([]);
  expect(lines.find(({ event }) => event === 'reader_cut_off')).toMatchObject({
    corr_id: expect.any(String) as string,
  });
});

function isWhole({ ts, level, event }: Line): boolean {
  return (
    typeof ts === 'string' &&
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(ts) &&
    ['DEBUG', 'INFO', 'WARN', 'ERROR'].includes(String(level)) &&
    /^[a-z][a-z_]*$/.test(event ?? '')
  );
}
