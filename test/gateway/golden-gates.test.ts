import { expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { bearer, makeToken } from '../access/support/tokens.js';
import { startTestApp } from '../support/app.js';
import { createGatesClient } from '../support/gates-client.js';
import { git, useGitRepos, writeFiles } from '../support/git-repos.js';
import { startRecording } from '../support/golden.js';
import { createHelpClient } from '../support/help-client.js';
import { registerRepo } from '../support/tasks-client.js';

const repos = useGitRepos();
const file = '.muster/gates.toml';
const nobody = '01ARZ3NDEKTSV4RRFFQ69G5FAV';

/** A task that is started, in a repository whose file has one gate; `places` says what to call what differs from run to run. */
async function setUp() {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const { url } = await startTestApp({ clock });
  const human = await makeToken({ url }, { role: 'human' });
  const agent = await makeToken({ url }, { role: 'agent', capabilities: ['gates.read'] }, human);
  const client = createGatesClient(url, bearer(human));
  const root = repos.repo({ [file]: '[[gate]]\nname = "lint"\ncommand = "true"\n' });
  const repoId = await registerRepo(url, root, bearer(human));
  const { id } = await client.tasks.create({ repo_id: repoId });
  await client.tasks.start(id);
  const places: Record<string, string> = { [git(root, 'rev-parse', 'main')]: '<main>' };
  const recording = startRecording(url, places);
  const call = (title: string, method: string, path: string, body?: unknown, who = human) =>
    recording.call(title, method, path, body, bearer(who));
  const add = async (title: string, body: unknown, who = human): Promise<string> =>
    ((await call(title, 'POST', '/api/gates', body, who)).json as { id: string }).id;
  const submit = async (name: string, content: string) => {
    const review = await client.reviews.submit(id, { f: content });
    places[review.head_commit] = `<${name}>`;
    places[review.head_tree ?? ''] = `<${name} tree>`;
    return review.id;
  };
  const help = createHelpClient(url, bearer(human));
  return { clock, client, help, agent, root, repoId, id, places, call, add, submit, matches: recording.matches };
}

test('gates', async () => {
  const { clock, agent, repoId, id, call, add, matches } = await setUp();
  const mine = { type: 'Task', id };
  const unit = await add('add one to a task', { scope: mine, name: 'unit', command: 'npm test -- "é"\n' });
  await add('add one to a repository', {
    scope: { type: 'Repo', id: repoId },
    ...{ name: 'unit', command: 'make check', timeout_secs: 86_400, max_retries: 0 },
    ...{ poll_interval_secs: 1, max_pending_secs: 2_592_000 },
  });
  await add('add one of a name that is taken', { scope: mine, name: 'unit', command: 'true' });
  await add('add one as an agent', { scope: mine, name: 'more', command: 'true' }, agent);
  await call('get', 'GET', `/api/gates/${unit}`, undefined, agent);
  clock.advance(1000);
  await call('change', 'PATCH', `/api/gates/${unit}`, { command: 'npm test', max_retries: 100, timeout_secs: null });
  await call('change nothing', 'PATCH', `/api/gates/${unit}`, {});
  await call('rename', 'PATCH', `/api/gates/${unit}`, { name: 'Unit_1.0-x' });
  await add('add another of the old name', { scope: mine, name: 'unit', command: 'true', timeout_secs: null });
  await call('rename to what is taken', 'PATCH', `/api/gates/${unit}`, { name: 'unit' });
  for (const [field, value] of [
    ['name', ''],
    ['name', '-x'],
    ['command', '\n'],
    ['timeout_secs', 0],
    ['max_retries', 101],
    ['scope', mine],
  ] as const) {
    await call(`change with a bad ${field}`, 'PATCH', `/api/gates/${unit}`, { [field]: value });
  }
  await call('change as an agent', 'PATCH', `/api/gates/${unit}`, { name: 'x' }, agent);
  const listed = await call('list those of a repository', 'GET', `/api/gates?scope=repo&id=${repoId}`);
  await call('list those of a task', 'GET', `/api/gates?scope=task&id=${id}`, undefined, agent);
  await call('what a task has to pass', 'GET', `/api/gates/effective/${id}`, undefined, agent);
  const ofFile = (listed.json as { readonly id: string; readonly source: string }[]).find(
    ({ source }) => source === 'File',
  );
  await call('get one of the file', 'GET', `/api/gates/${ofFile?.id}`);
  await call('change one of the file', 'PATCH', `/api/gates/${ofFile?.id}`, { name: 'x' });
  await call('remove one of the file', 'DELETE', `/api/gates/${ofFile?.id}`);
  await call('remove as an agent', 'DELETE', `/api/gates/${unit}`, undefined, agent);
  await call('remove', 'DELETE', `/api/gates/${unit}`);
  await call('remove again', 'DELETE', `/api/gates/${unit}`);
  for (const gate of [`gate_${nobody}`, '42']) {
    await call('get nobody', 'GET', `/api/gates/${gate}`);
    await call('change nobody', 'PATCH', `/api/gates/${gate}`, { name: 'x' });
    await call('remove nobody', 'DELETE', `/api/gates/${gate}`);
  }
  for (const method of ['POST', 'PUT']) await call('no such method', method, `/api/gates/${unit}`, {});
  await matches('gates');
});

test('what is refused', async () => {
  const { client, repoId, id, root, places, call, add, matches } = await setUp();
  const whole = { scope: { type: 'Task', id }, name: 'unit', command: 'true' };
  await add('nothing', {});
  await add('without a type of scope', { ...whole, scope: { id } });
  await add('without an id of a scope', { ...whole, scope: { type: 'Task' } });
  await add('of no such type', { ...whole, scope: { type: 'task', id } });
  await add('for nobody', { ...whole, scope: { type: 'Task', id: `task_${nobody}` } });
  await add('for a task that is a repository', { ...whole, scope: { type: 'Repo', id } });
  await add('for a malformed id', { ...whole, scope: { type: 'Repo', id: '42' } });
  await add('without a name', { ...whole, name: '' });
  for (const name of ['.unit', 'a b', "x';rm -rf ~", '../x', 'x\n', 'é', 'n'.repeat(65)]) {
    await add(`a name that is none: ${JSON.stringify(name)}`, { ...whole, name });
  }
  await add('without a command', { ...whole, command: ' \n' });
  await add('of a command with NUL', { ...whole, command: 'echo \0' });
  await add('of too long a command', { command: 'c'.repeat(16_385), scope: whole.scope, name: 'unit' });
  for (const [field, above] of [
    ['timeout_secs', 86_401],
    ['max_retries', 101],
    ['poll_interval_secs', 86_401],
    ['max_pending_secs', 2_592_001],
  ] as const) {
    await add(`${field}: too much`, { ...whole, [field]: above });
    await add(`${field}: too little`, { ...whole, [field]: -1 });
    await add(`${field}: no number`, { ...whole, [field]: 1.5 });
  }
  await add('what cannot be set', { ...whole, source: 'File' });
  const list = (query: string) => call('list', 'GET', `/api/gates${query}`);
  await list('');
  await list(`?id=${id}`);
  await list('?scope=task');
  await list(`?scope=Task&id=${id}`);
  await list(`?scope=task&id=task_${nobody}`);
  await list(`?scope=repo&id=${id}`);
  await list(`?scope=repo&id=${repoId}&limit=1`);
  for (const task of [`task_${nobody}`, '42']) await call('gates of nobody', 'GET', `/api/gates/effective/${task}`);
  for (const review of [`rev_${nobody}`, '42']) {
    await call('results of nobody', 'GET', `/api/gates/results/${review}`);
    await call('rerun nobody', 'POST', `/api/gates/rerun/${review}`, {});
  }
  const many = Array.from({ length: 50 }, (_, n) => client.add({ type: 'Repo', id: repoId }, { name: `n${n}` }));
  await Promise.all(many);
  await add('more than there may be', { ...whole, scope: { type: 'Repo', id: repoId } });
  for (const [title, text] of [
    ['a file that is no TOML', '[[gate]]\nname = unit\n'],
    ['a file with an unknown field', '[[gate]]\nname = "x"\ncommand = "x"\ntimeout = 1\n'],
  ] as const) {
    writeFiles(root, { [file]: text });
    git(root, 'commit', '--quiet', '--all', `--message=${title}`);
    places[git(root, 'rev-parse', 'main')] = `<${title}>`;
    await call(`${title}: list`, 'GET', `/api/gates?scope=repo&id=${repoId}`);
    await call(`${title}: effective`, 'GET', `/api/gates/effective/${id}`);
    await call(`${title}: submit`, 'POST', `/api/tasks/${id}/submit`, { allow_empty: true });
  }
  await matches('gates-refused');
});

test('from round to round', async () => {
  const { clock, client, help, agent, repoId, id, root, call, submit, matches } = await setUp();
  const command = `printf 'out\\n\\377'; echo err >&2; test -e "$MUSTER_REPO_PATH/ready.log" || exit 3`;
  const { id: gate } = await client.add({ type: 'Task', id }, { command, max_retries: 2 });
  const first = await submit('first', '1');
  await client.ended(first);
  const results = (of: string, who?: typeof agent) =>
    call('what has come of it', 'GET', `/api/gates/results/${of}`, undefined, who);
  const post = (title: string, path: string, body: unknown = {}, who?: typeof agent) =>
    call(title, 'POST', path, body, who);
  await results(first, agent);
  await call('the review', 'GET', `/api/reviews/${first}`);
  await post('rerun what is closed', `/api/gates/rerun/${first}`);

  clock.advance(1000);
  const second = await submit('second', '2');
  await client.ended(second);
  await results(second);
  await call('the review', 'GET', `/api/reviews/${second}`);
  for (const [method, path, body] of [
    ['POST', '', { scope: { type: 'Task', id }, name: 'more', command: 'true' }],
    ['POST', '', { scope: { type: 'Repo', id: repoId }, name: 'more', command: 'true' }],
    ['PATCH', `/${gate}`, { command: 'true' }],
    ['DELETE', `/${gate}`, undefined],
  ] as const) {
    await call('a change while it is open', method, `/api/gates${path}`, body);
  }
  await post('rerun as an agent', `/api/gates/rerun/${second}`, {}, agent);
  const asked = await help.ask(id);
  await post('rerun while the task waits', `/api/gates/rerun/${second}`);
  await help.respond(asked.id);
  await help.resume(id);
  clock.advance(1000);
  const branch = `refs/heads/task/${id}`;
  const head = git(root, 'rev-parse', branch);
  git(root, 'update-ref', '-d', branch);
  await post('rerun when the branch is gone', `/api/gates/rerun/${second}`);
  git(root, 'update-ref', branch, head);
  writeFiles(root, { 'ready.log': '' });
  await post('rerun', `/api/gates/rerun/${second}`, {});
  await client.ended(second);
  await results(second);
  await call('the review', 'GET', `/api/reviews/${second}`);
  await post('rerun what has passed', `/api/gates/rerun/${second}`);

  await client.reviews.requestChanges(second);
  await client.update(gate, { command: 'exec sleep 1000' });
  const third = await submit('third', '3');
  await post('approve before gates have ended', `/api/reviews/${third}/approve`);
  await post('request changes before gates have ended', `/api/reviews/${third}/request-changes`);
  await client.tasks.cancel(id);
  expect(await client.results(third)).toMatchObject([{ name: 'lint' }, { status: 'Cancelled' }]);
  await matches('gate-rounds');
});
