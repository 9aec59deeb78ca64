import { renameSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { createManualClock } from '../../src/platform/clock.js';
import { startTestApp } from '../support/app.js';
import { git, useGitRepos } from '../support/git-repos.js';
import { startRecording } from '../support/golden.js';
import { rest } from '../support/rest.js';

const repos = useGitRepos();

test('repositories', async () => {
  const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
  const { url, database } = await startTestApp({ clock });
  const [one, two] = [repos.repo(), repos.repo()];
  const places = { [one]: '/home/me/one', [two]: '/home/me/two', [path.dirname(one)]: '/home/me' };
  const { call, matches } = startRecording(url, places);
  const { json } = await call('register', 'POST', '/api/repos', { path: one });
  const { id } = json as { id: string };
  await call('register it again', 'POST', '/api/repos', { path: one });
  const full = { path: two, name: 'Second', default_branch: 'main' };
  await call('register another with every field', 'POST', '/api/repos', full);
  await call('nothing', 'POST', '/api/repos', {});
  await call('a relative path', 'POST', '/api/repos', { path: 'one' });
  await call('no repository', 'POST', '/api/repos', { path: path.dirname(one) });
  await call('no such branch', 'POST', '/api/repos', { path: one, default_branch: 'none' });
  await call('get', 'GET', `/api/repos/${id}`);
  await call('an unknown id', 'GET', '/api/repos/repo_01ARZ3NDEKTSV4RRFFQ69G5FAV');
  await call('a malformed id', 'GET', '/api/repos/42');
  await call('by path', 'GET', `/api/repos/by-path?path=${encodeURIComponent(one)}`);
  await call('by a path that is not registered', 'GET', '/api/repos/by-path?path=/nowhere');
  await call('by no path', 'GET', '/api/repos/by-path');
  await call('by a relative path', 'GET', '/api/repos/by-path?path=one');
  await call('list', 'GET', '/api/repos');
  const page = await call('the first page', 'GET', '/api/repos?limit=1');
  const next = /<(.+)>/.exec(page.headers.get('link') ?? '')?.[1] ?? '';
  expect((await call('the next page', 'GET', next)).json).toHaveLength(1);
  await call('a cursor of somebody else', 'GET', '/api/repos?cursor=x');
  await call('too many at a time', 'GET', '/api/repos?limit=501');
  git(one, 'branch', '--move', 'trunk');
  clock.advance(1000);
  const change = (title: string, body: unknown, of = id) => call(title, 'PATCH', `/api/repos/${of}`, body);
  await change('change the default branch', { default_branch: 'trunk' });
  clock.advance(1000);
  await change('to what it is', { default_branch: 'trunk' });
  await change('nothing is to be changed', {});
  await change('to a branch that is gone', { default_branch: 'main' });
  await change('to what is no name', { default_branch: 'a..b' });
  await change('to an empty name', { default_branch: '' });
  await change('to none', { default_branch: null });
  await change('what cannot be changed', { path: two });
  await change('of nobody', { default_branch: 'trunk' }, 'repo_01ARZ3NDEKTSV4RRFFQ69G5FAV');
  await call('what the ledger tells of it', 'GET', `/api/events?type=RepoUpdated&repo_id=${id}`);
  renameSync(one, `${one}.away`);
  await change('where it is no longer there', { default_branch: 'trunk' });
  renameSync(`${one}.away`, one);
  const added = await call('a task of it', 'POST', '/api/tasks', { repo_id: id, kind: 'Task', description: 'd' });
  const task = (added.json as { id: string }).id;
  await call('unregister while it has a task', 'DELETE', `/api/repos/${id}`);
  await rest(url, 'DELETE', `/api/tasks/${task}`);
  await database.query(
    `INSERT INTO task_vcs (task_id, repo_id, state, holder, held_until, ref_name, created_at, updated_at)
      VALUES ($1, $2, 'removing', gen_random_uuid(), '2100-01-01Z', 'x', now(), now())`,
    [task, id],
  );
  await call('unregister while what it has left is being cleared away', 'DELETE', `/api/repos/${id}`);
  git(one, 'config', 'core.bare', 'true');
  await call('unregister while that cannot be done', 'DELETE', `/api/repos/${id}`);
  renameSync(one, `${one}.away`);
  await call('unregister', 'DELETE', `/api/repos/${id}`);
  await call('unregister it again', 'DELETE', `/api/repos/${id}`);
  await matches('repos');
});
