import { expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { useGitRepos } from '../../support/git-repos.js';
import { createHelpClient } from '../../support/help-client.js';
import { refusal } from '../../support/jobs-client.js';
import { createTasksClient, registerRepo } from '../../support/tasks-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { until } from '../../support/until.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';
import { expectHelpReduced } from './support/help-ledger.js';

const repos = useGitRepos();

/** Two servers of one database and one clock, and tasks that have begun. */
async function setUp() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const options = { clock, flags: { 'poll-interval': '5ms' } };
  const { apps } = await startTestApps(options, options);
  const [{ url }, other] = apps;
  const tasks = createTasksClient(url);
  const repoId = await registerRepo(url, repos.repo());
  const begun = async (): Promise<string> => {
    const { id } = await tasks.create({ repo_id: repoId });
    await tasks.setStatus(id, 'InProgress');
    return id;
  };
  return { clock, apps, url: other.url, tasks, help: createHelpClient(url), repoId, begun };
}

const question = { suggested_options: ['wait', 'go on'], deadline_sec: 60, default_option: 1 };

test('the default answers and resumes when the deadline has passed, though its server is gone', async () => {
  const { clock, apps, url, help: gone, repoId, begun } = await setUp();
  const ids = [await begun(), await begun(), await begun()];
  const [late = '', early = '', answered = ''] = ids;
  await gone.ask(late, { ...question, deadline_sec: 61 });
  const asked = await gone.ask(early, { ...question, default_response: 'Go.' });
  expect(asked.deadline_at).toBe('2026-01-31T12:01:00.000Z');
  await gone.respond((await gone.ask(answered, question)).id);
  await apps[0].stop();

  const [tasks, help] = [createTasksClient(url), createHelpClient(url)];
  clock.advance(60_000);
  const resumed = async (id: string) => (await tasks.get(id)).task.status === 'InProgress';
  await until('the default has answered', () => resumed(early));
  expect(await help.list(early)).toEqual([
    {
      ...asked,
      status: 'Resolved',
      response: 'Go.',
      chosen_option: 1,
      responded_at: '2026-01-31T12:01:00.000Z',
      resumed_at: '2026-01-31T12:01:00.000Z',
      answered_by_default: true,
    },
  ]);
  // Not yet, and not where a human has answered.
  expect(await help.active(late)).toMatchObject({ status: 'Pending' });
  clock.advance(1000);
  await until('the other has, too', () => resumed(late));
  expect((await help.list(late))[0]).toMatchObject({ response: 'go on', answered_by_default: true });
  expect(await help.active(answered)).toMatchObject({ status: 'Responded', answered_by_default: false });
  const events = await ledgerOf(url, repoId);
  expect(events.filter(({ source }) => source === 'System').map(({ type, task_id }) => [type, task_id])).toEqual(
    [early, late].flatMap((id) => [
      ['HelpResponded', id],
      ['HelpResumed', id],
      ['TaskStatusChanged', id],
    ]),
  );
  await expectHelpReduced(help, events, ids);
});

test('whoever comes first answers: a human or the default, once', async () => {
  const { clock, url, tasks, help, repoId, begun } = await setUp();
  const ids = await Promise.all(Array.from({ length: 8 }, begun));
  const asked = await Promise.all(ids.map((id) => help.ask(id, question)));
  clock.advance(60_000);
  const human = createHelpClient(url);
  const answers = await Promise.allSettled(asked.map(({ id }) => human.respond(id)));
  for (const [index, { status }] of answers.entries()) {
    const id = ids[index] ?? '';
    if (status === 'fulfilled') await human.resume(id);
    else await until('the default has answered', async () => (await human.active(id)) === null);
    expect(await help.list(id)).toMatchObject([{ status: 'Resolved', answered_by_default: status === 'rejected' }]);
    expect((await tasks.get(id)).task.status).toBe('InProgress');
  }
  const responses = (await ledgerOf(url, repoId)).filter(({ type }) => type === 'HelpResponded');
  expect(responses.map(({ task_id }) => task_id).sort()).toEqual(ids.toSorted());
});

test('one that cannot be answered now holds up no other, and is answered later', async () => {
  const { clock, apps, help, begun } = await setUp();
  const { query } = apps[0].database;
  const [stuck, fine] = [await begun(), await begun()];
  const { id } = await help.ask(stuck, question);
  await help.ask(fine, { ...question, deadline_sec: 61 });
  await query(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
    CREATE TRIGGER refuse BEFORE UPDATE ON help_requests FOR EACH ROW WHEN (OLD.id = '${id}') EXECUTE FUNCTION refuse()`);
  clock.advance(61_000);
  await until('the other has been answered', async () => (await help.active(fine)) === null);
  expect(await help.active(stuck)).toMatchObject({ status: 'Pending' });
  await query('DROP TRIGGER refuse ON help_requests; DROP FUNCTION refuse()');
  await until('it has been answered, too', async () => (await help.active(stuck)) === null);
});

test('a deadline needs a default, and a default a deadline', async () => {
  const { help, begun } = await setUp();
  const id = await begun();
  const field = async (input: object) => (await refusal(help.ask(id, input))).details?.['field'];
  expect(await field({ deadline_sec: 60 })).toBe('default_response');
  expect(await field({ default_response: 'Go.' })).toBe('deadline_sec');
  expect(await field({ ...question, deadline_sec: 0 })).toBe('deadline_sec');
  expect(await field({ ...question, deadline_sec: 2_592_001 })).toBe('deadline_sec');
  expect(await field({ ...question, default_option: 2 })).toBe('default_option');
  expect(await field({ ...question, default_option: -1 })).toBe('default_option');
  expect(await help.active(id)).toBeNull();
});
