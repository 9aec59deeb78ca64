import { describe, expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp } from '../support/app.js';
import { rest } from '../support/rest.js';
import { openEventStream } from '../support/sse.js';
import { startTestApps } from '../support/two-apps.js';
import { soon } from '../support/until.js';
import type { UpgradeRefused } from '../support/websocket.js';
import { openWebSocket } from '../support/websocket.js';
import { bearer, makeToken, type TestToken } from './support/tokens.js';

async function ticketOf(url: string, token?: TestToken): Promise<string> {
  const answer = await rest(url, 'POST', '/api/tickets', {}, token && bearer(token));
  expect(answer.status).toBe(201);
  return (answer.json as { ticket: string }).ticket;
}

const refused = { error: 'unauthorized', code: 401, message: 'ticket: not valid, or used before' };

describe('a ticket', () => {
  test('opens one stream as who made it, on any server', async () => {
    const { apps } = await startTestApps({}, { flags: { 'db-listen': 'off' } });
    const [here, there] = apps;
    const human = await makeToken(here, { role: 'human' });
    const ticket = await ticketOf(here.url, human);
    expect(ticket).toMatch(/^mtk_[\w-]{43}$/);
    const stream = await openEventStream(`${there.url}/api/events/subscribe?ticket=${ticket}&type=JobQueued&after=0`);
    expect(stream.status).toBe(200);
    await rest(here.url, 'POST', '/v1/jobs', { kind: 'k' }, bearer(human));
    await stream.until('the job is told of', (events) => events.length === 1);

    const again = await rest(here.url, 'GET', `/api/events/subscribe?ticket=${ticket}`);
    expect(again).toMatchObject({ status: 401, json: refused });
  });

  test('opens a WebSocket, once', async () => {
    const app = await startTestApp();
    const human = await makeToken(app, { role: 'human' });
    const path = `/api/events/stream?ticket=${await ticketOf(app.url, human)}`;
    const socket = openWebSocket(app.url, path);
    await socket.opened;
    socket.send({ type: 'subscribe', after: 0 });
    await socket.until('it has begun', (messages) => messages[0]?.type === 'subscribed');
    const second = await openWebSocket(app.url, path).opened.catch((error: unknown) => error as UpgradeRefused);
    expect(second).toMatchObject({ status: 401, json: refused });
  });

  test('is good for 30 seconds', async () => {
    const clock = createManualClock(new Date('2026-06-01T00:00:00Z'));
    const app = await startTestApp({ clock });
    const human = await makeToken(app, { role: 'human' });
    const [late, inTime] = [await ticketOf(app.url, human), await ticketOf(app.url, human)];
    clock.advance(29_999);
    expect((await openEventStream(`${app.url}/api/events/subscribe?ticket=${inTime}`)).status).toBe(200);
    clock.advance(1);
    expect((await rest(app.url, 'GET', `/api/events/subscribe?ticket=${late}`)).status).toBe(401);
  });

  test('may do no more than its maker, and ends with its maker', async () => {
    const app = await startTestApp();
    const human = await makeToken(app, { role: 'human' });
    const worker = await makeToken(app, { role: 'worker' }, human);
    const notAllowed = await ticketOf(app.url, worker);
    const answer = await rest(app.url, 'GET', `/api/events/subscribe?ticket=${notAllowed}`);
    expect(answer).toMatchObject({ status: 403, json: { error: 'forbidden' } });

    const viewer = await makeToken(app, { role: 'viewer' }, human);
    const [used, unused] = [await ticketOf(app.url, viewer), await ticketOf(app.url, viewer)];
    const stream = await openEventStream(`${app.url}/api/events/subscribe?ticket=${used}`);
    await rest(app.url, 'DELETE', `/api/tokens/${viewer.id}`, undefined, bearer(human));
    await soon('the stream to end', stream.over);
    expect(stream.events.at(-1)?.data).toContain('The token has been revoked.');
    expect((await rest(app.url, 'GET', `/api/events/subscribe?ticket=${unused}`)).status).toBe(401);
  });

  test('is for reading: a write takes a token', async () => {
    const app = await startTestApp();
    const human = await makeToken(app, { role: 'human' });
    const ticket = await ticketOf(app.url, human);
    expect((await rest(app.url, 'POST', `/v1/jobs?ticket=${ticket}`, { kind: 'k' })).status).toBe(401);
    // It has not been used up by that.
    expect((await rest(app.url, 'GET', `/v1/jobs?ticket=${ticket}`)).status).toBe(200);
  });

  test('of the local human ends with the first token', async () => {
    const app = await startTestApp();
    const [used, unused] = [await ticketOf(app.url), await ticketOf(app.url)];
    const stream = await openEventStream(`${app.url}/api/events/subscribe?ticket=${used}`);
    expect(stream.status).toBe(200);
    await makeToken(app, { role: 'human' });
    await soon('the stream to end', stream.over);
    expect((await rest(app.url, 'GET', `/api/events/subscribe?ticket=${unused}`)).status).toBe(401);
  });

  test.each(['x', `mtk_${'x'.repeat(43)}`, ''])('that there is not: %s', async (ticket) => {
    const app = await startTestApp();
    expect(await rest(app.url, 'GET', `/v1/jobs?ticket=${ticket}`)).toMatchObject({ status: 401, json: refused });
  });
});
