import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { gitEnvironment } from '../../../src/platform/git/environment.js';
import { createGit, type Git, type GitOptions } from '../../../src/platform/git/index.js';
import { createSpares } from '../../../src/platform/git/spare.js';
import { isRunning, useBuiltServer } from '../../support/built-server.js';
import { useGitRepos } from '../../support/git-repos.js';
import { until } from '../../support/until.js';

const repos = useGitRepos();
useBuiltServer();

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

/** Each is a process of its own from its beginning, or one that has waited to become git. */
const ways: readonly (readonly [string, (options: GitOptions) => Git])[] = [
  ['as a process of its own', (options) => createGit({ ...options, spares: createSpares(0, {}) })],
  [
    'as a process that has waited',
    (options) => {
      const spares = createSpares(3, gitEnvironment());
      spares.fill();
      return createGit({ ...options, spares });
    },
  ],
];

describe.each(ways)('%s', (_, makeGit) => {
  test('git gets an environment of ours, and nothing of the one that the server has', async () => {
    process.env['GIT_DIR'] = '/nowhere';
    process.env['GIT_CONFIG_PARAMETERS'] = "'core.fsmonitor'='touch /tmp/x'";
    try {
      const { stdout } = await makeGit(program('env')).run({ args: [] });
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
    const running = makeGit(options).run({ args: ['status'], timeoutMs: 2000 });
    const late = expect(running).rejects.toMatchObject({ kind: 'deadline_exceeded' });
    const started = await pids(folder);
    await late;
    await until('both are gone', () => !started.some(isRunning));
  });

  test('on an abort it is killed, with all that it has started', async () => {
    const { folder, ...options } = program(stubborn);
    const abort = new AbortController();
    const running = makeGit(options).run({ args: ['status'], signal: abort.signal });
    const canceled = expect(running).rejects.toMatchObject({ kind: 'canceled' });
    const started = await pids(folder);
    abort.abort();
    await canceled;
    await until('both are gone', () => !started.some(isRunning));
    await expect(makeGit(options).run({ args: [], signal: abort.signal })).rejects.toMatchObject({ kind: 'canceled' });
  });

  test('what it says is bounded: it fails, or is cut off', async () => {
    const endless = makeGit(program('yes 123456789'));
    const limits = { args: ['log'], maxOutputBytes: 100_000 };
    await expect(endless.run(limits)).rejects.toMatchObject({ kind: 'too_large' });
    const { stdout, truncated } = await endless.run({ ...limits, beyond: 'truncate' });
    expect({ bytes: stdout.length, truncated }).toEqual({ bytes: 100_000, truncated: true });
    const exact = makeGit(program('head -c 100000 /dev/zero; head -c 1000000 /dev/zero >&2'));
    expect((await exact.run(limits)).truncated).toBe(false);
  });

  test('what went wrong is told', async () => {
    const failing = makeGit(program('echo "fatal: no" >&2; exit 128'));
    await expect(failing.run({ args: ['status'] })).rejects.toMatchObject({ exitCode: 128, stderr: 'fatal: no\n' });
    const full = makeGit(program('echo "fatal: write error: No space left on device" >&2; exit 128'));
    await expect(full.run({ args: ['status'] })).rejects.toMatchObject({ kind: 'unavailable' });
    const missing = makeGit({ program: '/nowhere/git' });
    await expect(missing.run({ args: ['status'] })).rejects.toMatchObject({ kind: 'unavailable' });
  });

  test('input that it does not read is no failure, and none is the end of it', async () => {
    expect((await makeGit(program('exit 0')).run({ args: [], stdin: 'x'.repeat(1_000_000) })).stdout).toHaveLength(0);
    expect((await makeGit(program('cat')).run({ args: [] })).stdout).toHaveLength(0);
  });

  test('arguments and environment come as they are, whatever is in them', async () => {
    const args = ['', ' ', "it's", `"$HOME" \`id\` \\ ; & | < > ( ) # ! * ? ~`, 'two\nlines\n', '日本', '-e', "$''\\n"];
    const echo = program(String.raw`for a in "$@" "$MINE"; do printf '%s\0' "$a"; done`);
    const { stdout } = await makeGit(echo).run({ args, env: { MINE: "o'clock\n$X" } });
    expect(stdout.toString().split('\0').slice(0, -1)).toEqual([...args, "o'clock\n$X"]);
    await expect(makeGit(echo).run({ args: ['a\0b'] })).rejects.toThrow(/null bytes|NUL/);
  });

  test('it runs where it is told, with the input that is for it, and nothing more open', async () => {
    const folder = repos.folder();
    const look = program('cd "$OLDPWD"; pwd -P; cat; (: <&3) 2> /dev/null || echo closed');
    const { stdout } = await makeGit(look).run({ args: [], cwd: folder, stdin: 'exec 1>&2\n' });
    const [where, input, third] = stdout.toString().split('\n');
    expect([where, input, third]).toEqual([realpathSync(folder), 'exec 1>&2', 'closed']);
    await expect(makeGit(look).run({ args: [], cwd: path.join(folder, 'none') })).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });
});

test('spares end with the server that they wait for, however that ends', async () => {
  const module = pathToFileURL(path.join(import.meta.dirname, '../../../dist/src/platform/git/spare.js')).href;
  const code = `
    const { createSpares } = await import(${JSON.stringify(module)});
    createSpares(2, { PATH: process.env.PATH }).fill();
    setInterval(() => undefined, 1000);
  `;
  const server = spawn(process.execPath, ['--input-type=module', '--eval', code], { stdio: 'ignore' });
  onTestFinished(() => void server.kill('SIGKILL'));
  const spares = await until('it has spares', () => {
    const children = childrenOf(server.pid);
    return children.length === 2 && children;
  });
  server.kill('SIGKILL');
  await until('they are gone', () => !spares.some(isRunning));
});

function childrenOf(parent: number | undefined): readonly number[] {
  return execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([pid, of]) => (pid !== undefined && of === parent ? [pid] : []));
}
