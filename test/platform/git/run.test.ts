import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { createGit } from '../../../src/platform/git/index.js';
import { isRunning } from '../../support/built-server.js';
import { useGitRepos } from '../../support/git-repos.js';
import { until } from '../../support/until.js';

const repos = useGitRepos();

/** A program in git's place. */
function program(script: string): { readonly program: string; readonly folder: string } {
  const folder = repos.folder();
  const file = path.join(folder, 'git');
  writeFileSync(file, `#!/bin/sh\ncd '${folder}'\n${script}\n`);
  chmodSync(file, 0o755);
  return { program: file, folder };
}

/** One that starts another, tells of both, and goes on for ever. */
const stubborn =
  "trap '' TERM INT\nsleep 1000 & echo $! > child.new; mv child.new child; echo $$ > own; while :; do wait; done";

async function pids(folder: string): Promise<readonly number[]> {
  const read = (name: string): number | false => {
    const file = path.join(folder, name);
    return existsSync(file) && Number(readFileSync(file, 'utf8'));
  };
  return [await until('it runs', () => read('own')), await until('its child runs', () => read('child'))];
}

test('git gets an environment of ours, and nothing of the one that the server has', async () => {
  process.env['GIT_DIR'] = '/nowhere';
  process.env['GIT_CONFIG_PARAMETERS'] = "'core.fsmonitor'='touch /tmp/x'";
  try {
    const { stdout } = await createGit(program('env')).run({ args: [] });
    const names = stdout
      .toString()
      .split('\n')
      .map((line) => line.replace(/=.*/, ''))
      .filter((name) => !/^(?:GIT_CONFIG_(?:KEY|VALUE)_\d+|PWD|OLDPWD|_|SHLVL|)$/.test(name));
    expect(names.sort()).toEqual([
      ...['GIT_ALLOW_PROTOCOL', 'GIT_ASKPASS', 'GIT_ATTR_NOSYSTEM', 'GIT_CONFIG_COUNT', 'GIT_CONFIG_GLOBAL'],
      ...['GIT_CONFIG_NOSYSTEM', 'GIT_CONFIG_SYSTEM', 'GIT_EDITOR', 'GIT_LITERAL_PATHSPECS', 'GIT_NO_LAZY_FETCH'],
      ...['GIT_NO_REPLACE_OBJECTS', 'GIT_OPTIONAL_LOCKS', 'GIT_PAGER', 'GIT_SSH_COMMAND', 'GIT_TERMINAL_PROMPT'],
      ...['LANG', 'LC_ALL', 'PATH'],
    ]);
  } finally {
    delete process.env['GIT_DIR'];
    delete process.env['GIT_CONFIG_PARAMETERS'];
  }
});

test('past its time it is killed, with all that it has started', async () => {
  const { folder, ...options } = program(stubborn);
  const running = createGit(options).run({ args: ['status'], timeoutMs: 2000 });
  const late = expect(running).rejects.toMatchObject({ kind: 'deadline_exceeded' });
  const started = await pids(folder);
  await late;
  await until('both are gone', () => !started.some(isRunning));
});

test('on an abort it is killed, with all that it has started', async () => {
  const { folder, ...options } = program(stubborn);
  const abort = new AbortController();
  const running = createGit(options).run({ args: ['status'], signal: abort.signal });
  const canceled = expect(running).rejects.toMatchObject({ kind: 'canceled' });
  const started = await pids(folder);
  abort.abort();
  await canceled;
  await until('both are gone', () => !started.some(isRunning));
  await expect(createGit(options).run({ args: [], signal: abort.signal })).rejects.toMatchObject({ kind: 'canceled' });
});

test('what it says is bounded: it fails, or is cut off', async () => {
  const endless = createGit(program('yes 123456789'));
  const limits = { args: ['log'], maxOutputBytes: 100_000 };
  await expect(endless.run(limits)).rejects.toMatchObject({ kind: 'too_large' });
  const { stdout, truncated } = await endless.run({ ...limits, beyond: 'truncate' });
  expect({ bytes: stdout.length, truncated }).toEqual({ bytes: 100_000, truncated: true });
  const exact = createGit(program('head -c 100000 /dev/zero; head -c 1000000 /dev/zero >&2'));
  expect((await exact.run(limits)).truncated).toBe(false);
});

test('what went wrong is told', async () => {
  const failing = createGit(program('echo "fatal: no" >&2; exit 128'));
  await expect(failing.run({ args: ['status'] })).rejects.toMatchObject({ exitCode: 128, stderr: 'fatal: no\n' });
  const full = createGit(program('echo "fatal: write error: No space left on device" >&2; exit 128'));
  await expect(full.run({ args: ['status'] })).rejects.toMatchObject({ kind: 'unavailable' });
  const missing = createGit({ program: '/nowhere/git' });
  await expect(missing.run({ args: ['status'] })).rejects.toMatchObject({ kind: 'unavailable' });
});

test('input that it does not read is no failure, and none is the end of it', async () => {
  expect((await createGit(program('exit 0')).run({ args: [], stdin: 'x'.repeat(1_000_000) })).stdout).toHaveLength(0);
  expect((await createGit(program('cat')).run({ args: [] })).stdout).toHaveLength(0);
});
