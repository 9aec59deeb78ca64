import { test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp } from '../support/app.js';
import { useGitRepos } from '../support/git-repos.js';
import { startRecording } from '../support/golden.js';
import { createTasksClient, registerRepo } from '../support/tasks-client.js';

const repos = useGitRepos();
const nobody = 'task_01ARZ3NDEKTSV4RRFFQ69G5FAV';
const nothing = 'help_01ARZ3NDEKTSV4RRFFQ69G5FAV';

async function setUp() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const { url } = await startTestApp({ clock });
  const tasks = createTasksClient(url);
  const repo_id = await registerRepo(url, repos.repo());
  const begun = async (): Promise<string> => {
    const { id } = await tasks.create({ repo_id });
    await tasks.setStatus(id, 'InProgress');
    return id;
  };
  const { call, matches } = startRecording(url);
  const ask = async (title: string, body: object): Promise<string> =>
    ((await call(title, 'POST', '/api/help', body)).json as { id: string }).id;
  const respond = (title: string, id: string, body: object) => call(title, 'POST', `/api/help/${id}/respond`, body);
  const resume = (title: string, id: string) => call(title, 'POST', `/api/help/${id}/resume`, {});
  return { clock, tasks, begun, call, matches, ask, respond, resume };
}

test('ask, respond and resume', async () => {
  const { clock, begun, call, matches, ask, respond, resume, tasks } = await setUp();
  const task_id = await begun();
  await call('nothing is asked', 'GET', `/api/help/active/${task_id}`);
  const asked = await ask('ask', {
    task_id,
    category: 'Decision',
    reason: 'Which "one"?\né',
    suggested_options: ['this', 'that'],
  });
  await ask('ask again', { task_id, category: 'Clarification', reason: 'r' });
  await call('what is asked', 'GET', `/api/help/active/${task_id}`);
  await resume('resume before it is answered', task_id);
  clock.advance(1000);
  await respond('an option that there is not', asked, { chosen_option: 2 });
  await respond('no answer', asked, {});
  await respond('a blank answer', asked, { response: ' ' });
  await respond('too much', asked, { response: 'r'.repeat(8193) });
  await respond('respond', asked, { response: 'That one.', chosen_option: 1 });
  await respond('respond again', asked, { response: 'This one.' });
  await respond('to nothing', nothing, { response: 'r' });
  await respond('to a malformed id', '42', { response: 'r' });
  clock.advance(1000);
  await resume('resume', task_id);
  await resume('resume again', task_id);
  await resume('resume nobody', nobody);
  await call('active no more', 'GET', `/api/help/active/${task_id}`);
  await call('active of nobody', 'GET', `/api/help/active/${nobody}`);
  await respond(
    'choose only',
    await ask('ask for more', { task_id, category: 'Unexpected', reason: 'r', suggested_options: ['a'] }),
    {
      chosen_option: 0,
    },
  );
  await tasks.cancel(task_id);
  await resume('resume what is cancelled', task_id);
  await call('history', 'GET', `/api/help/${task_id}`);
  await call('a page of it', 'GET', `/api/help/${task_id}?limit=1`);
  await call('no page', 'GET', `/api/help/${task_id}?limit=501`);
  await call('a foreign cursor', 'GET', `/api/help/${task_id}?cursor=x`);
  await call('of nobody', 'GET', `/api/help/${nobody}`);
  await matches('help');
});

test('what cannot be asked', async () => {
  const { begun, matches, ask, tasks } = await setUp();
  const task_id = await begun();
  const full = { task_id, category: 'TechnicalBlocker', reason: 'r' };
  await ask('nothing', {});
  await ask('without a category', { task_id, reason: 'r' });
  await ask('of an unknown category', { ...full, category: 'Other' });
  await ask('without a reason', { ...full, reason: '' });
  await ask('too long', { ...full, reason: 'r'.repeat(8193) });
  await ask('with a blank option', { ...full, suggested_options: ['a', ' '] });
  await ask('with too many options', { ...full, suggested_options: Array.from({ length: 21 }, () => 'a') });
  await ask('with a deadline and no default', { ...full, deadline_sec: 60 });
  await ask('with a default and no deadline', { ...full, default_response: 'd' });
  await ask('with a deadline that is too late', { ...full, deadline_sec: 2_592_001, default_response: 'd' });
  await ask('with a default that is no option', { ...full, deadline_sec: 60, default_option: 0 });
  await ask('for nobody', { ...full, task_id: nobody });
  await ask('for a malformed id', { ...full, task_id: '42' });
  await ask('with a deadline', { ...full, suggested_options: ['a'], deadline_sec: 60, default_option: 0 });
  await tasks.complete(task_id);
  await ask('for what is completed', full);
  await matches('help-refused');
});
