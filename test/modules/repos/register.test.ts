import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { emptyLedgerState, reduceEvents } from '../../../src/client/index.js';
import { type Files, git, useGitRepos } from '../../support/git-repos.js';
import { rest } from '../../support/rest.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { createTasksClient } from '../../support/tasks-client.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';

const app = sharedTestApp();
const repos = useGitRepos();

interface ShownRepo {
  readonly id: string;
  readonly path: string;
  readonly name: string;
  readonly default_branch: string;
  readonly updated_at: string;
}

function register(body: unknown) {
  return rest(app.current.url, 'POST', '/api/repos', body);
}

async function registered(body: unknown): Promise<ShownRepo> {
  const answer = await register(body);
  expect(answer).toMatchObject({ status: 201 });
  return answer.json as ShownRepo;
}

/** Every file of a folder and what is in it. */
function fingerprint(root: string): string {
  const hash = createHash('sha256');
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    hash.update(`${file}\0`);
    if (entry.isFile()) hash.update(readFileSync(file));
  }
  return hash.digest('hex');
}

describe('what is registered', () => {
  test('a repository, in which nothing is changed by it', async () => {
    const root = repos.repo();
    const before = fingerprint(root);
    const repo = await registered({ path: root });
    expect(repo).toMatchObject({ path: root, name: 'project', vcs_type: 'Git', default_branch: 'main' });
    expect(fingerprint(root)).toBe(before);
    const events = (await rest(app.current.url, 'GET', `/api/events?repo_id=${repo.id}`)).json as object[];
    expect(events).toMatchObject([{ type: 'RepoRegistered', payload: { path: root, name: 'project' } }]);
  });

  test('one without a commit yet, with the branch that its first commit will be on', async () => {
    const root = repos.repo({});
    git(root, 'symbolic-ref', 'HEAD', 'refs/heads/trunk');
    expect(await registered({ path: root })).toMatchObject({ default_branch: 'trunk' });
  });

  test.each(['with spaces', 'ünïcödé – 日本', "quote's $HOME `id`", '-leading', 'new\nline'])(
    'in a folder %j',
    async (name) => {
      const root = repos.repo(undefined, name);
      expect(await registered({ path: `${root}/` })).toMatchObject({ path: root, name: name.replace('\n', '?') });
    },
  );

  test('through a symbolic link, and once only', async () => {
    const root = repos.repo();
    const link = path.join(repos.folder(), 'link');
    symlinkSync(root, link);
    const { id } = await registered({ path: link });
    for (const again of [root, link, `${root}/../project/.`]) {
      expect(await register({ path: again })).toMatchObject({
        status: 409,
        json: {
          error: 'conflict',
          message: `${root} is registered already, as ${id}.`,
          details: { field: 'path', id },
        },
      });
    }
    const found = (await rest(app.current.url, 'GET', `/api/repos/by-path?path=${encodeURIComponent(link)}`)).json;
    expect(found).toMatchObject({ id, path: root });
  });

  test('of two at a time, one', async () => {
    const root = repos.repo();
    const answers = await Promise.all(Array.from({ length: 6 }, () => register({ path: root })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409]);
  });

  test('under a name and with a branch of its own', async () => {
    const root = repos.repo();
    git(root, 'branch', 'release/1.0');
    git(root, 'pack-refs', '--all');
    const input = { path: root, name: ' Our project ', default_branch: 'release/1.0' };
    expect(await registered(input)).toMatchObject({ name: 'Our project', default_branch: 'release/1.0' });
  });

  test('one with a detached HEAD, when it is clear or said which branch counts', async () => {
    const root = repos.repo();
    git(root, 'checkout', '--quiet', '--detach');
    expect(await registered({ path: root })).toMatchObject({ default_branch: 'main' });
    const other = repos.repo();
    git(other, 'branch', '--move', 'one');
    git(other, 'branch', 'two');
    git(other, 'checkout', '--quiet', '--detach');
    expect(await register({ path: other })).toMatchObject({
      status: 400,
      json: { message: 'default_branch: is required, since the HEAD of the repository is detached' },
    });
    expect(await registered({ path: other, default_branch: 'two' })).toMatchObject({ default_branch: 'two' });
  });

  test('one whose path is as long as paths can be', async () => {
    const name = 'd'.repeat(250);
    const folder = repos.folder();
    const root = path.join(folder, ...Array.from({ length: Math.floor((4000 - folder.length) / 251) }, () => name));
    mkdirSync(root, { recursive: true });
    git(root, 'init', '--quiet', '--initial-branch=main');
    expect(await registered({ path: root })).toMatchObject({ path: root, name: 'd'.repeat(100) });
    expect((await register({ path: root })).status).toBe(409);
  });
});

describe('what is refused, with the reason', () => {
  const refusals: Readonly<Record<string, () => readonly [path: string, why: string]>> = {
    'a bare repository': () => {
      const folder = repos.folder();
      git(folder, 'init', '--quiet', '--bare');
      return [folder, 'is a bare repository; one with a work tree is needed'];
    },
    'a repository that says it is bare': () => {
      const root = repos.repo();
      git(root, 'config', 'core.bare', 'true');
      return [root, 'is a bare repository; one with a work tree is needed'];
    },
    'a linked work tree': () => {
      const root = repos.repo();
      git(root, 'worktree', 'add', '--quiet', '../linked');
      return [path.join(root, '../linked'), `is a linked work tree of the repository ${root}; register that`];
    },
    'a submodule': () => {
      const [outer, inner] = [repos.repo(), repos.repo()];
      git(outer, '-c', 'protocol.file.allow=always', 'submodule', '--quiet', 'add', inner, 'sub');
      return [
        path.join(outer, 'sub'),
        'is a submodule, or has its .git elsewhere; only a repository of its own will do',
      ];
    },
    'a .git that is a symbolic link': () => {
      const [root, folder] = [repos.repo(), repos.folder()];
      symlinkSync(path.join(root, '.git'), path.join(folder, '.git'));
      return [folder, 'has a .git that is a symbolic link; only a directory of its own will do'];
    },
    'one that would have us write elsewhere': () => {
      const [root, folder] = [repos.repo(), repos.folder()];
      renameSync(path.join(root, '.git/objects'), path.join(folder, 'objects'));
      symlinkSync(path.join(folder, 'objects'), path.join(root, '.git/objects'));
      return [root, 'has its .git/objects elsewhere, behind a symbolic link'];
    },
    'a folder within': () => {
      const root = repos.repo({ 'a/b/c': '' });
      return [path.join(root, 'a/b'), `is a folder of the repository ${root}; register that`];
    },
    'its inside': () => {
      const root = repos.repo();
      return [path.join(root, '.git'), `is the inside of the repository ${root}; register that`];
    },
    'a .git that is none': () => {
      const folder = repos.folder();
      mkdirSync(path.join(folder, '.git'));
      return [folder, 'has a .git that is no git repository'];
    },
    'pipes that nobody writes to': () => {
      const root = repos.repo();
      for (const name of ['HEAD', 'packed-refs']) {
        rmSync(path.join(root, '.git', name), { force: true });
        execFileSync('mkfifo', [path.join(root, '.git', name)]);
      }
      return [root, 'has a .git that is no git repository'];
    },
    'a configuration that is none': () => {
      const root = repos.repo();
      writeFileSync(path.join(root, '.git/config'), '[core');
      return [root, 'has a .git/config that git cannot read'];
    },
    'references of a kind that is not known': () => {
      const root = repos.repo();
      git(root, 'config', 'extensions.refStorage', 'reftable');
      return [root, "keeps its references as 'reftable', which is not supported"];
    },
    'a folder without git': () => [repos.folder(), 'is no git repository'],
    'a file': () => [path.join(repos.repo(), 'README.md'), 'is a file, not a directory'],
    'what leads through a file': () => [path.join(repos.repo(), 'README.md/x'), 'leads through a file'],
    'what is not there': () => [path.join(repos.folder(), 'x'), "is not there, as seen from the server's machine"],
    'links in a circle': () => {
      const link = path.join(repos.folder(), 'link');
      symlinkSync(link, link);
      return [link, 'leads through symbolic links in a circle'];
    },
    'a path that no system takes': () => [`/${'x'.repeat(5000)}`, 'is too long'],
    'a relative path': () => ['project', 'must be an absolute path'],
    'no path': () => ['', 'is required'],
    'a NUL': () => ['/a\0b', 'must not contain the character U+0000'],
  };

  test.each(Object.entries(refusals))('%s', async (_title, setup) => {
    const [given, why] = setup();
    expect(await register({ path: given })).toMatchObject({
      status: 400,
      json: { error: 'invalid_request', message: `path: ${why}`, details: { field: 'path' } },
    });
  });

  test.each<[field: string, input: object, why: string]>([
    ['name', { name: '' }, 'must have 1 to 100 characters'],
    ['name', { name: 'x'.repeat(101) }, 'must have 1 to 100 characters'],
    ['name', { name: 'a\u001bb' }, 'must have no control characters'],
    ['default_branch', { default_branch: 'none' }, "there is no branch 'none' in the repository"],
    ['default_branch', { default_branch: '../../x' }, 'is no name of a branch'],
    ['default_branch', { default_branch: '--upload-pack=x' }, 'is no name of a branch'],
    ['default_branch', { default_branch: 'main.lock' }, 'is no name of a branch'],
  ])('%s of %j', async (field, input, why) => {
    expect(await register({ path: repos.repo(), ...input })).toMatchObject({
      status: 400,
      json: { message: `${field}: ${why}`, details: { field } },
    });
  });
});

test('nothing that the configuration names is run', async () => {
  const root = repos.repo();
  const proof = path.join(repos.folder(), 'proof');
  const included = path.join(repos.folder(), 'included');
  writeFileSync(included, '[core]\n\tbare = true\n');
  const evil = `sh -c "touch ${proof}"`;
  for (const key of ['core.fsmonitor', 'core.sshCommand', 'core.pager', 'core.editor', 'alias.config', 'gpg.program']) {
    git(root, 'config', key, evil);
  }
  git(root, 'config', 'core.hooksPath', root);
  git(root, 'config', 'include.path', included);
  await registered({ path: root });
  expect(existsSync(proof)).toBe(false);
});

describe('the default branch', () => {
  async function setUp(files?: Files) {
    const root = repos.repo(files);
    const { id } = await registered({ path: root });
    return {
      ...{ root, id },
      change: (body: unknown) => rest(app.current.url, 'PATCH', `/api/repos/${id}`, body),
      read: async () => (await rest(app.current.url, 'GET', `/api/repos/${id}`)).json as ShownRepo,
      told: async () => (await ledgerOf(app.current.url, id)).filter(({ type }) => type === 'RepoUpdated'),
    };
  }

  test('is changed to one that there is, and told with what has changed', async () => {
    const { root, change, read, told } = await setUp();
    const before = await read();
    git(root, 'branch', '--move', 'main', 'trunk');
    const { status, json } = await change({ default_branch: 'trunk' });
    const after = json as ShownRepo;
    expect([status, json]).toEqual([200, { ...before, default_branch: 'trunk', updated_at: after.updated_at }]);
    expect(await read()).toEqual(json);
    expect(await told()).toMatchObject([{ payload: { default_branch: 'trunk', updated_at: after.updated_at } }]);
    const tasks = createTasksClient(app.current.url);
    const { id } = await tasks.create({ repo_id: before.id });
    await tasks.start(id);
    expect((await tasks.get(id)).vcs?.base_commit).toBe(git(root, 'rev-parse', 'trunk'));
  });

  test('is changed to what is checked out without a commit yet', async () => {
    const { root, change } = await setUp({});
    git(root, 'branch', '--move', 'trunk');
    expect(await change({ default_branch: 'main' })).toMatchObject({ status: 400 });
    expect(await change({ default_branch: 'trunk' })).toMatchObject({ status: 200, json: { default_branch: 'trunk' } });
  });

  test.each([{}, { default_branch: 'main' }])('stays as it is with %j, and nothing is told', async (body) => {
    const { change, read, told } = await setUp();
    const before = await read();
    expect(await change(body)).toMatchObject({ status: 200, json: before });
    expect([await read(), await told()]).toEqual([before, []]);
  });

  test.each<[value: unknown, why: string]>([
    [null, 'cannot be cleared'],
    ['', 'is no name of a branch'],
    ['a..b', 'is no name of a branch'],
    ['a\0b', 'is no name of a branch'],
    ['none', "there is no branch 'none' in the repository"],
    [7, 'must be a string'],
  ])('is not changed to %j', async (value, why) => {
    const { change, read, told } = await setUp();
    const before = await read();
    expect(await change({ default_branch: value })).toMatchObject({
      status: 400,
      json: { error: 'invalid_request', message: `default_branch: ${why}`, details: { field: 'default_branch' } },
    });
    expect([await read(), await told()]).toEqual([before, []]);
  });

  test('is not changed where the repository cannot be looked at', async () => {
    const { root, change } = await setUp();
    rmSync(root, { recursive: true });
    expect(await change({ default_branch: 'main' })).toMatchObject({
      status: 409,
      json: {
        error: 'conflict',
        message: `The repository ${root} is not there, as seen from the server's machine.`,
        details: { path: root },
      },
    });
    expect(await change({})).toMatchObject({ status: 200 });
    // What is no name is none anywhere.
    expect(await change({ default_branch: '' })).toMatchObject({ status: 400 });
  });

  test('of several who change it at a time, each is told of or has changed nothing', async () => {
    const { root, change, read, told } = await setUp();
    git(root, 'branch', 'a');
    git(root, 'branch', 'b');
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) => change({ default_branch: n % 3 === 0 ? 'a' : 'b' })),
    );
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    const branches = ['main', ...(await told()).map(({ payload }) => payload['default_branch'])];
    expect(branches.slice(1)).not.toHaveLength(0);
    expect(branches.filter((branch, index) => branch === branches[index - 1])).toEqual([]);
    expect((await read()).default_branch).toBe(branches.at(-1));
    const rows = reduceEvents(emptyLedgerState({ filtered: true }), await ledgerOf(app.current.url, (await read()).id));
    expect([...rows.repos.values()]).toEqual([await read()]);
  });
});

describe('unregistering', () => {
  test('forgets the repository, and leaves it as it is', async () => {
    const root = repos.repo();
    const { id } = await registered({ path: root });
    const before = fingerprint(root);
    const call = (method: string) => rest(app.current.url, method, `/api/repos/${id}`);
    expect(await call('DELETE')).toMatchObject({ status: 200, json: { ok: true } });
    expect(fingerprint(root)).toBe(before);
    expect(await call('GET')).toMatchObject({ status: 404 });
    expect(await call('DELETE')).toMatchObject({ status: 404 });
    expect((await registered({ path: root })).id).not.toBe(id);
  });

  test('works for one that is no longer there, and is found by its path', async () => {
    const root = repos.repo();
    const { id } = await registered({ path: root });
    rmSync(root, { recursive: true });
    const found = await rest(app.current.url, 'GET', `/api/repos/by-path?path=${encodeURIComponent(`${root}/`)}`);
    expect(found.json).toMatchObject({ id });
    expect(await rest(app.current.url, 'DELETE', `/api/repos/${id}`)).toMatchObject({ status: 200 });
  });

  test('is refused while anything refers to it, and changes nothing then', async () => {
    const { database, url } = app.current;
    const { id } = await registered({ path: repos.repo() });
    await database.query('CREATE TABLE belongings (repo_id text REFERENCES repos)');
    await database.query('INSERT INTO belongings VALUES ($1)', [id]);
    expect(await rest(url, 'DELETE', `/api/repos/${id}`)).toMatchObject({
      status: 409,
      json: {
        error: 'conflict',
        message: `${id} is still in use; delete first what belongs to it.`,
        details: { id },
      },
    });
    expect((await rest(url, 'GET', `/api/repos/${id}`)).status).toBe(200);
    expect((await rest(url, 'GET', `/api/events?repo_id=${id}&type=RepoUnregistered`)).json).toEqual([]);
    await database.query('DROP TABLE belongings');
    expect((await rest(url, 'DELETE', `/api/repos/${id}`)).status).toBe(200);
  });
});

test('pipes in the place of references are no branches, and are not waited for', async () => {
  const root = repos.repo();
  for (const name of ['packed-refs', 'refs/heads/pipe']) execFileSync('mkfifo', [path.join(root, '.git', name)]);
  expect(await register({ path: root, default_branch: 'pipe' })).toMatchObject({ status: 400 });
  await registered({ path: root });
});

test('a copy of a registered repository is another one', async () => {
  const root = repos.repo();
  const copy = path.join(repos.folder(), 'copy');
  cpSync(root, copy, { recursive: true });
  const [first, second] = [await registered({ path: root }), await registered({ path: copy })];
  expect(second.id).not.toBe(first.id);
  expect(git(copy, 'status', '--porcelain')).toBe('');
});
