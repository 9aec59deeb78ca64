import { describe, expect, test } from 'vitest';
import { rest } from '../support/rest.js';
import { sharedTestApp } from '../support/shared-app.js';
import { runBuf, schemaImage } from '../support/wire/buf-curl-api.js';

const app = sharedTestApp();

async function call(method: string, flags: readonly string[], input: string) {
  const url = `${app.current.url}/muster.v1.JobService/${method}`;
  const { code, stdout, stderr } = await runBuf(['curl', '--schema', schemaImage(), ...flags, '-d', '@-', url], input);
  // One JSON document after the other.
  const messages = stdout.split(/^(?=\{)/m).filter((text) => text.trim() !== '');
  return { code, stderr, messages: messages.map((text) => JSON.parse(text) as unknown) };
}

describe.each([
  ['connect', ['--protocol', 'connect']],
  ['connect, h2c', ['--protocol', 'connect', '--http2-prior-knowledge']],
  ['grpc', ['--protocol', 'grpc', '--http2-prior-knowledge']],
  ['grpcweb', ['--protocol', 'grpcweb']],
] as const)('buf curl, %s', (_name, flags) => {
  test('watches a job', async () => {
    const { json } = await rest(app.current.url, 'POST', '/v1/jobs', { kind: 'watched' });
    const { id } = json as { id: string };
    await rest(app.current.url, 'DELETE', `/v1/jobs/${id}`);
    expect(await call('WatchJob', flags, JSON.stringify({ id }))).toMatchObject({
      code: 0,
      messages: [{ job: { id, status: 'JOB_STATUS_CANCELED' } }],
    });
    const unknown = await call('WatchJob', flags, '{"id":"42"}');
    expect(unknown).toMatchObject({ code: 40, messages: [] });
    expect(JSON.parse(unknown.stderr)).toMatchObject({ code: 'not_found', message: 'There is no job 42.' });
  });

  // Both directions at a time take HTTP/2.
  if (flags.some((flag) => flag === '--http2-prior-knowledge')) {
    test('works', async () => {
      const said = { start: { worker_id: 'w', kinds: ['none'], capacity: 1, lease_sec: 7 } };
      expect(await call('Work', flags, JSON.stringify(said))).toMatchObject({
        code: 0,
        messages: [{ started: { leaseSec: 7 } }],
      });
    });
  }
});
