import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { linuxProcessTable } from '../../src/platform/process-tree-linux.js';
import type { ProcessTable } from '../../src/platform/process-tree-members.js';
import { psProcessTable } from '../../src/platform/process-tree-ps.js';
import { outputText, runProgram, type RunOptions } from '../../src/platform/process-tree.js';
import {
  cancelWhenReady,
  current,
  deferred,
  eventually,
  isAlive,
  onLinux,
  optionsFor,
  pidFrom,
  pidIn,
  run,
  setUpEachTest,
  systemTable,
} from './process-tree-support.js';

vi.setConfig({ testTimeout: 60_000 });
setUpEachTest();

describe.each([['/proc', linuxProcessTable, onLinux] as const, ['ps', psProcessTable, true] as const])(
  'runProgram with %s',
  (_name, table, available) => {
    const run = (command: string, options: Partial<RunOptions> = {}) => runProgram(optionsFor(command, options), table);
    const runs = it.skipIf(!available);

    runs('reports exit 0 and stdout', async () => {
      const result = await run('echo hello; echo trouble >&2');
      expect(result).toMatchObject({ outcome: 'exited', exitCode: 0, signal: null, survivors: [] });
      expect(outputText(result.stdout)).toBe('hello\n');
      expect(outputText(result.stderr)).toBe('trouble\n');
      expect(result.stdout).toMatchObject({ totalBytes: 6, truncated: false });
    });

    runs('kills children that ignore SIGTERM after the grace time', async () => {
      const result = await cancelWhenReady(
        'trap "" TERM; sleep 1000 & echo ready >&2; sleep 1000',
        { graceMs: 50 },
        table,
      );
      expect(result).toMatchObject({ outcome: 'canceled', exitCode: null, signal: 'SIGKILL', survivors: [] });
    });

    runs('kills a grandchild that holds stdout open after the exit of the program', async () => {
      const result = await run('trap "" TERM; sleep 1000 & echo $!');
      expect(result).toMatchObject({ outcome: 'exited', exitCode: 0, survivors: [] });
      expect(isAlive(pidIn(outputText(result.stdout)))).toBe(false);
    });

    runs('kills a fork loop', async () => {
      const result = await cancelWhenReady(
        'trap "" TERM; n=0; while :; do sleep 1000 & echo ready >&2; done',
        { graceMs: 0 },
        table,
      );
      expect(result).toMatchObject({ outcome: 'canceled', signal: 'SIGKILL', survivors: [] });
    });
  },
);

describe('how a program ends', () => {
  it('reports its exit code', async () => {
    expect(await run('exit 3')).toMatchObject({ outcome: 'exited', exitCode: 3, signal: null });
  });

  it('reports 127 for a missing command', async () => {
    const result = await run('/no/such/program');
    expect(result).toMatchObject({ outcome: 'exited', exitCode: 127 });
    expect(outputText(result.stderr)).toMatch(/not found|No such file/);
  });

  it('reports the signal it died of', async () => {
    expect(await run('kill -USR1 $$')).toMatchObject({ outcome: 'signaled', exitCode: null, signal: 'SIGUSR1' });
  });

  it('has the environment it was given and nothing else', async () => {
    vi.stubEnv('LEAKED_FROM_PARENT', 'yes');
    const result = await run('env');
    vi.unstubAllEnvs();
    expect(outputText(result.stdout)).toContain(`TEST_TAG=${current.tag}\n`);
    expect(outputText(result.stdout)).not.toContain('LEAKED');
  });

  it('keeps the mark of an outer run beside its own', async () => {
    vi.stubEnv('MUSTER_RUN_ID', 'outer');
    const result = await run('echo $MUSTER_RUN_ID');
    vi.unstubAllEnvs();
    expect(outputText(result.stdout)).toMatch(/^outer\.[0-9a-f-]{36}\n$/);
  });

  it('runs in the working directory it was given', async () => {
    const result = await run('pwd -P', { cwd: current.directory });
    expect(outputText(result.stdout).trim()).toBe(
      execFileSync('/bin/pwd', ['-P'], { cwd: current.directory }).toString().trim(),
    );
  });

  it('runs the command as /bin/sh -c would', async () => {
    const command = 'echo "$0 $# $LINENO"; grep -c . </dev/null; case "$1" in "") echo none;; esac';
    const plain = execFileSync('/bin/sh', ['-c', `${command}; exit 0`]).toString();
    expect(outputText((await run(command)).stdout)).toBe(plain);
  });
});

describe('a program that cannot start', () => {
  it('is not_started in a directory that does not exist', async () => {
    const result = await run('echo hello', { cwd: join(current.directory, 'missing') });
    expect(result).toMatchObject({ outcome: 'not_started', exitCode: null, signal: null });
    expect(result.reason).toMatch(/working directory.*missing/);
  });

  it('is not_started in a file', async () => {
    closeSync(openSync(join(current.directory, 'file'), 'w'));
    const result = await run('echo hello', { cwd: join(current.directory, 'file') });
    expect(result).toMatchObject({ outcome: 'not_started' });
    expect(result.reason).toMatch(/not a directory/);
  });

  it.each([
    ['a NUL byte', 'echo \0'],
    ['more than the system takes', `: ${'x'.repeat(4_000_000)}`],
  ])('is not_started with %s in the command', async (_name, command) => {
    const result = await run(command);
    expect(result.outcome).toBe('not_started');
    expect(result.reason).toBeTruthy();
  });

  it('is not_started where the process table cannot be read', async () => {
    const blind: ProcessTable = { ...systemTable, find: () => undefined };
    const result = await runProgram(optionsFor('echo hello'), blind);
    expect(result).toMatchObject({ outcome: 'not_started', reason: expect.stringContaining('process table') });
  });

  it('is canceled, not started, when the signal was aborted before', async () => {
    const result = await run('touch started', { signal: AbortSignal.abort() });
    expect(result).toMatchObject({ outcome: 'canceled', exitCode: null, signal: null });
    expect(existsSync(join(current.directory, 'started'))).toBe(false);
  });
});

describe('stdin and output', () => {
  it('hands stdin through, 1 MiB of JSON', async () => {
    const json = JSON.stringify({ payload: 'ä'.repeat(2 ** 19) });
    const result = await run('cat', { stdin: json, maxStdoutBytes: 2 ** 22 });
    expect(outputText(result.stdout)).toBe(json);
  });

  it('closes stdin after what was given, and at once when nothing was', async () => {
    expect(outputText((await run('wc -c', { stdin: new Uint8Array(5) })).stdout).trim()).toBe('5');
    expect(outputText((await run('wc -c')).stdout).trim()).toBe('0');
  });

  it('does not mind a program that leaves its stdin unread', async () => {
    const result = await run('exec <&-; echo hello', { stdin: 'x'.repeat(2 ** 22) });
    expect(result).toMatchObject({ outcome: 'exited', exitCode: 0 });
    expect(outputText(result.stdout)).toBe('hello\n');
  });

  it('keeps the beginning of 100 MB and reads the rest', async () => {
    const result = await run('head -c 100000000 /dev/zero && echo done >&2', { maxStdoutBytes: 1000 });
    expect(result).toMatchObject({ outcome: 'exited', exitCode: 0 });
    expect(result.stdout).toEqual({ bytes: Buffer.alloc(1000), totalBytes: 100_000_000, truncated: true });
    expect(outputText(result.stderr)).toBe('done\n');
  });

  it('keeps binary output as it is', async () => {
    const bytes = randomBytes(200_000);
    const result = await run('cat', { stdin: bytes });
    expect(result.stdout.bytes.equals(bytes)).toBe(true);
  });

  it('keeps head and tail of stderr, and shows all of it to the listener', async () => {
    let seen = '';
    const result = await run('printf abcdefghij >&2; printf klmnopqrst >&2', {
      maxStderrBytes: 6,
      onStderr: (chunk) => (seen += chunk.toString()),
    });
    expect(outputText(result.stderr)).toBe('abc\n… 14 bytes left out …\nrst');
    expect(result.stderr).toMatchObject({ totalBytes: 20, truncated: true });
    expect(seen).toBe('abcdefghijklmnopqrst');
  });

  it('keeps head and tail of stdout for whoever asks, and shows all of it to the listener', async () => {
    let seen = '';
    const result = await run('printf abcdefghij; printf klmnopqrst', {
      maxStdoutBytes: 6,
      keepStdout: 'head_and_tail',
      onStdout: (chunk) => (seen += chunk.toString()),
    });
    expect(outputText(result.stdout)).toBe('abc\n… 14 bytes left out …\nrst');
    expect(seen).toBe('abcdefghijklmnopqrst');
  });

  it.skipIf(!existsSync('/bin/bash'))('gets the last lines of a helper that ends after the program', async () => {
    // It is still at work, for some milliseconds, when the program has gone.
    const helper = 'read -r line; cat >/dev/null; for ((i = 0; i < 30000; i++)); do :; done; echo "$line"';
    const result = await run(`/bin/bash -c 'exec > >(${helper}); echo last words'`);
    expect(outputText(result.stdout)).toBe('last words\n');
  });
});

describe('cancel and timeout', () => {
  it('cancels in the middle and keeps what was written', async () => {
    const result = await cancelWhenReady('echo begun; echo ready >&2; sleep 1000');
    expect(result).toMatchObject({ outcome: 'canceled', exitCode: null, signal: 'SIGTERM' });
    expect(outputText(result.stdout)).toBe('begun\n');
  });

  it('lets the program clean up within the grace time, with the help of other programs', async () => {
    const cleanUp = 'sh -c \\"sleep 0.2 && echo clean\\"';
    const command = `trap "${cleanUp}; exit 7" TERM; sh -c "echo ready >&2; sleep 1000" & wait`;
    const result = await cancelWhenReady(command, { graceMs: 50_000 });
    expect(result).toMatchObject({ outcome: 'canceled', exitCode: 7, signal: null });
    expect(outputText(result.stdout)).toBe('clean\n');
  });

  it('sends SIGTERM once', async () => {
    // `wait` returns for the trap at once, `sleep 0.3` leaves time for many looks.
    const command = 'trap "echo told" TERM; sh -c "echo ready >&2; sleep 1000" & wait; sleep 0.3; exit 7';
    const result = await cancelWhenReady(command, { graceMs: 50_000 });
    expect(result).toMatchObject({ outcome: 'canceled', exitCode: 7 });
    expect(outputText(result.stdout)).toBe('told\n');
  });

  it('wakes a stopped program so that it can end', async () => {
    const command = 'trap "exit 7" TERM; echo $$ > pid; echo ready >&2; kill -STOP $$; sleep 1000';
    const controller = new AbortController();
    const ended = run(command, { signal: controller.signal, graceMs: 50_000 });
    const pid = await pidFrom('pid');
    await eventually(() => systemTable.find(pid)?.state === 'stopped');
    controller.abort();
    expect(await ended).toMatchObject({ outcome: 'canceled', exitCode: 7 });
  });

  it('times out', async () => {
    const result = await run('sleep 1000', { timeoutMs: 100 });
    expect(result).toMatchObject({ outcome: 'timeout', exitCode: null, signal: 'SIGTERM' });
  });

  it('takes a timeout longer than the longest timer', async () => {
    expect(await run('head -c 10000000 /dev/zero', { timeoutMs: 2 ** 40 })).toMatchObject({ outcome: 'exited' });
  });

  it.skipIf(!onLinux)('does not take back an exit that Node has not reported yet', async () => {
    const controller = new AbortController();
    const ready = deferred();
    execFileSync('mkfifo', [join(current.directory, 'gate')]);
    const ended = run('echo $$ > pid; echo ready >&2; read _ < gate; exit 3', {
      signal: controller.signal,
      onStderr: () => ready.resolve(),
    });
    await ready.promise;
    const pid = await pidFrom('pid');
    const gate = openSync(join(current.directory, 'gate'), 'w');
    writeSync(gate, '\n');
    closeSync(gate);
    // Blocks Node on purpose, so that the exit is there and not yet reported.
    while (systemTable.find(pid)?.state !== 'dead');
    controller.abort();
    expect(await ended).toMatchObject({ outcome: 'exited', exitCode: 3 });
  });

  it('kills all even if the process table cannot be read for some time', async () => {
    let failures = 0;
    const list = () => {
      failures += 1;
      if (failures < 5) throw new Error('EMFILE: too many open files');
      return systemTable.list();
    };
    const hidden = onLinux ? 'setsid sleep 1000' : 'sleep 1000';
    const table = { ...systemTable, list };
    const result = await cancelWhenReady(`${hidden} & echo ready >&2; sleep 1000`, { graceMs: 0 }, table);
    expect(result).toMatchObject({ outcome: 'canceled', survivors: [] });
    expect(failures).toBeGreaterThan(5);
  });

  it('leaves no listener and no timer', async () => {
    const { signal } = new AbortController();
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    for (let count = 0; count < 10; count += 1) await run(':', { signal, timeoutMs: 1e8 });
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(timers()).toBeLessThan(before + 5);
  });
});
