import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { endLeftovers, type GateCommand, runGateCommand } from '../../../src/modules/gates/command.js';
import { runMarkOf } from '../../../src/platform/process-tree.js';
import {
  current,
  isAlive,
  livingWithTag,
  onLinux,
  pidFrom,
  setUpEachTest,
} from '../../platform/process-tree-support.js';
import { useBuiltServer } from '../../support/built-server.js';
import { startGateChild } from './support/gate-child.js';

setUpEachTest();
useBuiltServer();

type Given = Omit<GateCommand, 'signal' | 'onOutput'>;

/** A gate in a work tree of its own; what it runs carries the tag by which nobody else finds processes. */
function gateOf(command: string, more: Partial<GateCommand> = {}): Given {
  const worktree = path.join(realpathSync(current.directory), 'worktree');
  if (!existsSync(worktree)) mkdirSync(worktree);
  return {
    command,
    worktree,
    timeoutMs: 60_000,
    mark: `job_${current.tag}`,
    scratch: path.join(realpathSync(current.directory), 'scratch', 'one'),
    env: { MUSTER_GATE_NAME: 'unit', TEST_TAG: current.tag },
    ...more,
  };
}

function run(command: string, more: Partial<GateCommand> = {}) {
  return runGateCommand({ signal: new AbortController().signal, ...gateOf(command), ...more });
}

describe('how a command ends', () => {
  test.each([
    ['exit 0', 'Passed', 0],
    ['exit 75', 'Pending', 75],
    ['exit 1', 'Failed', 1],
    ['exit 74', 'Failed', 74],
    ['exit 255', 'Failed', 255],
  ])('%s: %s', async (command, status, exitCode) => {
    expect(await run(`echo out; echo err >&2; ${command}`)).toEqual({
      status,
      exitCode,
      stdout: 'out\n',
      stderr: 'err\n',
    });
  });

  test('a command that is missing', async () => {
    const { stderr, ...outcome } = await run('no-such-command');
    expect(outcome).toEqual({ status: 'Failed', exitCode: 127, stdout: '' });
    expect(stderr).toMatch(/no-such-command.*not found/);
  });

  test('by a signal, which is named', async () => {
    expect(await run('printf err >&2; kill -KILL $$')).toEqual({
      status: 'Failed',
      stdout: '',
      stderr: 'err\nmuster: ended by SIGKILL\n',
    });
  });

  test('past its timeout, with a child that does not mind SIGTERM', async () => {
    const outcome = await run('trap "" TERM; sleep 1000 & wait; sleep 1000', { timeoutMs: 300, graceMs: 50 });
    expect(outcome).toEqual({ status: 'Timeout', stdout: '', stderr: 'muster: took longer than 0.3 s\n' });
    expect(livingWithTag()).toEqual([]);
  });

  test('past its timeout, whatever it says then', async () => {
    const outcome = await run('trap "exit 0" TERM; sleep 1000 & wait', { timeoutMs: 300 });
    expect(outcome).toMatchObject({ status: 'Timeout' });
    expect(outcome.exitCode).toBe(undefined);
  });

  test('on an abort', async () => {
    const controller = new AbortController();
    const outcome = await run('echo up; sleep 1000', {
      signal: controller.signal,
      onOutput: () => controller.abort(),
    });
    expect(outcome).toEqual({ status: 'Stopped', stdout: 'up\n', stderr: '' });
    expect(await run('touch begun', { signal: controller.signal })).toEqual({
      status: 'Stopped',
      stdout: '',
      stderr: '',
    });
    expect(readdirSync(gateOf('').worktree)).toEqual([]);
  });

  test.skipIf(!onLinux)('with a grandchild in a session of its own, which is ended', async () => {
    const command = `mkfifo ../up; (setsid sh -c 'echo $$ > ../pid; echo > ../up; exec sleep 1000' >/dev/null 2>&1 &); read _ < ../up`;
    expect(await run(command)).toMatchObject({ status: 'Passed' });
    expect(isAlive(await pidFrom('pid'))).toBe(false);
  });
});

describe('what cannot start', () => {
  test.each([
    ['where the work tree is gone', 'gone', /^muster: cannot start: working directory: .*gone/],
    ['where it is a file', 'file', /^muster: cannot start: working directory: .*file is not a directory\n$/],
    ['where it is a link', 'link', /^muster: cannot start: working directory: .*link is a symbolic link\n$/],
  ])('%s', async (_name, name, reason) => {
    writeFileSync(path.join(current.directory, 'file'), '');
    symlinkSync(current.directory, path.join(current.directory, 'link'));
    const { stderr, ...outcome } = await run('echo here', { worktree: path.join(current.directory, name) });
    expect(outcome).toEqual({ status: 'Failed', stdout: '' });
    expect(stderr).toMatch(reason);
    expect(existsSync(gateOf('').scratch)).toBe(false);
  });

  test('has its reason in stderr', async () => {
    const { stderr, ...outcome } = await run('echo \0');
    expect(outcome).toEqual({ status: 'Failed', stdout: '' });
    expect(stderr).toMatch(/^muster: cannot start: .*null byte/);
  });
});

describe('output', () => {
  test('of 100 MB keeps its two ends, and costs no more memory than they do', async () => {
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    let seen = 0;
    const onOutput: GateCommand['onOutput'] = (_stream, chunk) => {
      seen += chunk.length;
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    };
    const lines = (bytes: number) => `yes 012345678901234 | head -c ${bytes}`;
    const outcome = await run(`${lines(96_000_000)}; { ${lines(4_000_000)}; printf end; } >&2`, { onOutput });
    expect(outcome.status).toBe('Passed');
    const half = '012345678901234\n'.repeat(2048);
    expect(outcome.stdout).toBe(`${half}\n… ${96_000_000 - 65_536} bytes left out …\n${half}`);
    expect(outcome.stderr).toBe(`${half}\n… ${4_000_003 - 65_536} bytes left out …\n${`${half}end`.slice(3)}`);
    expect(seen).toBe(100_000_003);
    expect(most).toBeLessThan(50 * 2 ** 20);
  });

  test('that is no text becomes some that Postgres takes', async () => {
    const { stdout, stderr } = await run(`printf 'a\\000b\\377c\\303\\244\\n'; printf '\\000' >&2`);
    expect(stdout).toBe('a\uFFFDb\uFFFDcä\n');
    expect(stderr).toBe('\uFFFD');
  });

  test('is seen as it comes', async () => {
    let seen = '';
    const told = 'mkfifo ../go; echo a; read _ < ../go; echo b >&2';
    await run(told, {
      onOutput(stream, chunk) {
        seen += `${stream} ${chunk.toString()}`;
        // It waits for this before it goes on.
        if (stream === 'stdout') writeFileSync(path.join(current.directory, 'go'), '\n');
      },
    });
    expect(seen).toBe('stdout a\nstderr b\n');
  });
});

describe('what a command finds', () => {
  test('is the environment that was promised, and nothing else of the server', async () => {
    vi.stubEnv('DATABASE_URL', 'postgres://secret');
    vi.stubEnv('MUSTER_RUN_ID', undefined);
    const { stdout } = await run('env; ls -A "$HOME" "$TMPDIR"; pwd -P');
    vi.unstubAllEnvs();
    const { scratch, mark, worktree } = gateOf('');
    // Variables that shells set for those they start.
    const lines = stdout.split('\n').filter((line) => !/^(?:PWD|OLDPWD|SHLVL|_)=/.test(line));
    expect(lines.slice(0, 7).sort()).toEqual([
      `HOME=${scratch}/home`,
      'LANG=C.UTF-8',
      'MUSTER_GATE_NAME=unit',
      `MUSTER_RUN_ID=${runMarkOf(mark).id}`,
      `PATH=${process.env['PATH']}`,
      `TEST_TAG=${current.tag}`,
      `TMPDIR=${scratch}/tmp`,
    ]);
    expect(lines.slice(7)).toEqual([`${scratch}/home:`, '', `${scratch}/tmp:`, worktree, '']);
  });

  test('is nothing of what another run has left in its place', async () => {
    const { scratch } = gateOf('');
    mkdirSync(path.join(scratch, 'home'), { recursive: true });
    writeFileSync(path.join(scratch, 'home', '.gitconfig'), '[core]\n');
    mkdirSync(`${scratch}.gone-${process.pid}-00000000-1`);
    expect(await run('ls -A "$HOME"')).toMatchObject({ status: 'Passed', stdout: '' });
    expect(readdirSync(path.dirname(scratch))).toEqual([]);
  });
});

describe('what a command leaves', () => {
  test.each([
    ['is removed', 'echo x > "$HOME/a"; mkdir -p "$TMPDIR/b/c"; echo x > "$TMPDIR/b/c/d"'],
    [
      'is removed when it may not be written',
      'mkdir -p "$TMPDIR/b/c"; echo > "$TMPDIR/b/c/d"; chmod -R a-w "$TMPDIR" "$HOME"',
    ],
    ['may be nothing at all', 'rm -rf "${HOME%/home}"'],
    ['may be no work tree', 'rm -rf "$(pwd)"; true'],
  ])('%s', async (_name, command) => {
    expect(await run(command)).toMatchObject({ status: 'Passed', stderr: '' });
    expect(readdirSync(path.join(current.directory, 'scratch'))).toEqual([]);
  });

  test('is told when it cannot be removed, which is no reason to fail', async () => {
    const outcome = await run('up=${HOME%/one/home}; mv "$up" "$up.away"; ln -s "$up" "$up"');
    expect(outcome).toMatchObject({ status: 'Passed', exitCode: 0 });
    expect(outcome.stderr).toMatch(/^muster: cannot remove .*scratch\/one: .*ELOOP/);
  });
});

describe.skipIf(!onLinux)('what a killed server leaves', () => {
  const daemon = (clear: string, file: string) =>
    `(${clear} setsid sh -c 'trap "" TERM; echo $$ > ../${file}; exec sleep 1000' </dev/null >/dev/null 2>&1 &)`;

  test('is found by its mark and ended, and nobody else', async () => {
    const clear = `env -i PATH="$PATH" TEST_TAG=${current.tag}`;
    const files = ['a', 'b', 'c'];
    const waiting = files.map((file) => `until [ -s ../${file} ]; do sleep 0.01; done`).join('; ');
    const command = `trap "" TERM; ${daemon('', 'a')}; ${daemon(clear, 'b')}; sleep 1000 & echo $! > ../c; ${waiting}; echo up; sleep 1000`;
    const gate = gateOf(command);
    const server = await startGateChild(gate);
    server.kill('SIGKILL');
    await once(server, 'exit');
    const left = await Promise.all(files.map(pidFrom));
    expect(left.map(isAlive)).toEqual([true, true, true]);

    let began = (): void => undefined;
    const hasBegun = new Promise<void>((resolve) => (began = resolve));
    const other = run('mkfifo ../go; echo up; read _ < ../go', {
      mark: `${gate.mark}-other`,
      scratch: `${gate.scratch}-other`,
      onOutput: () => began(),
    });
    await hasBegun;
    expect(await endLeftovers(gate.mark)).toEqual([]);
    expect(left.map(isAlive)).toEqual([false, false, false]);
    writeFileSync(path.join(current.directory, 'go'), '\n');
    expect(await other).toMatchObject({ status: 'Passed' });
    // The next run begins in a place of its own, as if there had been none.
    expect(readFileSync(path.join(gate.worktree, '../a'), 'utf8')).toMatch(/^\d+\n$/);
    expect(await run('ls -A "$HOME"')).toMatchObject({ status: 'Passed', stdout: '' });
  });

  test('may be nothing', async () => {
    expect(await endLeftovers('none')).toEqual([]);
  });
});
