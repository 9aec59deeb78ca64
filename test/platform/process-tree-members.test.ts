import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { linuxProcessTable } from '../../src/platform/process-tree-linux.js';
import {
  createProcessTree,
  createRunMark,
  type ProcessEntry,
  type ProcessTable,
  type RunMark,
} from '../../src/platform/process-tree-members.js';
import { endMarkedProcesses, outputText, runMarkOf, runProgram } from '../../src/platform/process-tree.js';
import {
  bystander,
  cancelWhenReady,
  current,
  deferred,
  eventually,
  isAlive,
  livingWithTag,
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

describe.skipIf(!onLinux)('children that hide', () => {
  const hidden = 'echo $$ > pid; echo up > gate; exec sleep 1000';

  it.each([
    ['in a session of their own', `setsid sh -c '${hidden}' &`],
    ['as daemons that lost their parent', `(setsid sh -c '${hidden}' </dev/null >/dev/null 2>&1 &)`],
    [
      'as daemons that cleared their environment',
      `(env -i TEST_TAG=$TEST_TAG setsid sh -c '${hidden}' </dev/null >/dev/null 2>&1 &)`,
    ],
    [
      'as daemons that set their own limit',
      `(ulimit -S -m 9999; setsid sh -c '${hidden}' </dev/null >/dev/null 2>&1 &)`,
    ],
    [
      'as orphans in the session that cleared environment and limit',
      `(ulimit -S -m 9999; env -i TEST_TAG=$TEST_TAG sh -c '${hidden}' &)`,
    ],
  ])('are found %s', async (_name, command) => {
    const leftover = await run(`mkfifo gate; ${command}\nread _ < gate`);
    expect(leftover).toMatchObject({ outcome: 'exited', exitCode: 0, survivors: [] });
    expect(isAlive(await pidFrom('pid'))).toBe(false);

    const result = await cancelWhenReady(
      `rm gate pid; mkfifo gate; ${command}\nread _ < gate; echo ready >&2; sleep 1000`,
    );
    expect(result).toMatchObject({ outcome: 'canceled', survivors: [] });
    expect(isAlive(await pidFrom('pid'))).toBe(false);
  });

  it('are found without either mark as long as their parents live', async () => {
    const child = `ulimit -S -m 9999; exec env -i TEST_TAG=$TEST_TAG setsid sh -c 'trap "" TERM; ${hidden}'`;
    const result = await cancelWhenReady(`mkfifo gate; (${child}) & read _ < gate; echo ready >&2; wait`, {
      graceMs: 50,
    });
    expect(result).toMatchObject({ outcome: 'canceled', survivors: [] });
    expect(isAlive(await pidFrom('pid'))).toBe(false);
  });

  it('are found when they fork while we look', async () => {
    // Nobody waits here for the daemon: it forks, and leaves its parents, during the look that follows the exit.
    const daemon = `(setsid sh -c '((((((sleep 1000 &) &) &) &) &) &)' </dev/null >/dev/null 2>&1 &)`;
    for (let count = 0; count < 10; count += 1) {
      expect(await run(daemon)).toMatchObject({ outcome: 'exited', survivors: [] });
      expect(livingWithTag()).toEqual([]);
    }
  });

  it('are found in a fork loop of sessions', async () => {
    const loop = 'trap "" TERM; while :; do (setsid sleep 1000 </dev/null >/dev/null 2>&1 &) ; echo ready >&2; done';
    const result = await cancelWhenReady(loop, { graceMs: 0 });
    expect(result).toMatchObject({ outcome: 'canceled', signal: 'SIGKILL', survivors: [] });
  });

  it('are found when they are forked, and drop both marks, after each look', async () => {
    const child = 'env -i TEST_TAG=$TEST_TAG setsid sleep 1000';
    const loop = `trap "" TERM; ulimit -S -m 9999; while :; do ${child} & echo ready >&2; done`;
    let looks = 0;
    const list = () => {
      const entries = systemTable.list();
      const before = livingWithTag().length;
      // The first looks are followed by some forks, unless the parent is stopped.
      const deadline = Date.now() + ((looks += 1) <= 4 ? 200 : 0);
      while (livingWithTag().length < before + 5 && Date.now() < deadline);
      return entries;
    };
    const result = await cancelWhenReady(loop, { graceMs: 0 }, { ...systemTable, list });
    expect(result).toMatchObject({ outcome: 'canceled', signal: 'SIGKILL', survivors: [] });
  });

  it('are found when the mark cannot be read for a moment', async () => {
    let unsure = 0;
    const isMarked: ProcessTable['isMarked'] = (pid, mark) => {
      unsure += 1;
      return unsure <= 3 ? undefined : systemTable.isMarked(pid, mark);
    };
    const command = `mkfifo gate; (setsid sh -c '${hidden}' </dev/null >/dev/null 2>&1 &)\nread _ < gate`;
    await runProgram(optionsFor(command), { ...systemTable, isMarked });
    expect(unsure).toBeGreaterThan(3);
    expect(isAlive(await pidFrom('pid'))).toBe(false);
  });

  it('are found when each lives shorter than a look takes', async () => {
    // Ends by itself after some seconds, lest a failing test leave it behind.
    const hop = 'hop() { n=$((n - 1)); [ $n -lt 0 ] || (hop &); }; n=10000; hop';
    const command = `trap "" TERM; ${hop}; echo ready >&2; sleep 1000`;
    const result = await cancelWhenReady(command, { graceMs: 0 });
    expect(result).toMatchObject({ outcome: 'canceled', signal: 'SIGKILL', survivors: [] });
    for (let count = 0; count < 50; count += 1) expect(livingWithTag()).toEqual([]);
  });
});

describe('processes that are not ours', () => {
  it('are spared, older and younger ones', async () => {
    const older = bystander();
    const controller = new AbortController();
    const ready = deferred();
    const ended = run('echo ready >&2; sleep 1000', { signal: controller.signal, onStderr: () => ready.resolve() });
    await ready.promise;
    const younger = bystander();
    controller.abort();
    await ended;
    expect([isAlive(older.pid), isAlive(younger.pid)]).toEqual([true, true]);
    await Promise.all([older.end(), younger.end()]);
  });

  it('are spared when their pid was a member of the tree at the last look', async () => {
    const root = bystander();
    const other = bystander();
    const table: ProcessTable = {
      ...systemTable,
      list: () => systemTable.list().map((entry) => (entry.pid === other.pid ? { ...entry, parent: root.pid } : entry)),
      find: (pid) => {
        const entry = systemTable.find(pid);
        return entry?.pid === other.pid ? { ...entry, start: entry.start + 100_000 } : entry;
      },
    };
    const tree = createProcessTree(table, { pid: root.pid, isReaped: () => root.isReaped() }, createRunMark());
    expect(await tree.kill(200)).toEqual([other.pid]);
    expect(isAlive(root.pid)).toBe(false);
    expect(isAlive(other.pid)).toBe(true);
    await other.end();
  });

  it.each([
    ['and lead the session', true],
    ['from someone who left it to them', false],
  ])('are spared when root is gone and they got its number for a session, %s', async (_name, hasLeader) => {
    const root = bystander();
    const other = bystander();
    let hasNumber = false;
    const withNumber = (entry: ProcessEntry): ProcessEntry[] => {
      if (!hasNumber || entry.pid !== other.pid) return [entry];
      const leader = { ...entry, pid: root.pid, parent: 1, start: entry.start + 100, session: root.pid };
      return [{ ...entry, session: root.pid }, ...(hasLeader ? [leader] : [])];
    };
    const table: ProcessTable = { ...systemTable, list: () => systemTable.list().flatMap(withNumber) };
    const tree = createProcessTree(table, { pid: root.pid, isReaped: () => root.isReaped() }, createRunMark());
    // With a leader that shows; without, a look must have seen nobody in between.
    if (!hasLeader) expect(await tree.kill(10_000)).toEqual([]);
    await root.end();
    hasNumber = true;
    expect(await tree.kill(10_000)).toEqual([]);
    expect(isAlive(other.pid)).toBe(true);
    await other.end();
  });

  it('do not hold up the result when they hold the pipes', async () => {
    // A table that shows nobody stands for a process that escaped.
    const blind: ProcessTable = { ...systemTable, list: () => [] };
    const result = await runProgram(optionsFor('setsid sleep 1000 & echo $!'), blind);
    expect(result).toMatchObject({ outcome: 'exited', exitCode: 0 });
    process.kill(pidIn(outputText(result.stdout)), 'SIGKILL');
    await eventually(() => livingWithTag().length === 0);
  });
});

describe.skipIf(!onLinux)('processes of a mark, whose root nobody knows', () => {
  const names = ['one', 'other'].map((name) => `${name}-${process.pid}`);
  const [mark, another] = names.map(runMarkOf) as [RunMark, RunMark];

  /** A run that goes on until its processes are ended. */
  async function begin(own: RunMark, file: string) {
    const ended = run(`sleep 1000 & echo $! > ${file}; wait`, { mark: own });
    return { ended, pid: await pidFrom(file) };
  }

  it('are ended, and no others', async () => {
    const [ours, others] = await Promise.all([begin(mark, 'ours'), begin(another, 'others')]);
    expect(await endMarkedProcesses(mark)).toEqual([]);
    expect(await ours.ended).toMatchObject({ outcome: 'signaled', signal: 'SIGKILL' });
    expect([isAlive(ours.pid), isAlive(others.pid)]).toEqual([false, true]);
    expect(await endMarkedProcesses(another)).toEqual([]);
    expect(await others.ended).toMatchObject({ outcome: 'signaled', signal: 'SIGKILL' });
  });

  it('are spared when their pid has become the one of another since the look', async () => {
    const other = bystander();
    const table: ProcessTable = {
      ...systemTable,
      isMarked: (pid) => pid === other.pid,
      find: (pid) => {
        const entry = systemTable.find(pid);
        return entry?.pid === other.pid ? { ...entry, start: entry.start + 100_000 } : entry;
      },
    };
    expect(await createProcessTree(table, undefined, mark).kill(200)).toEqual([other.pid]);
    expect(isAlive(other.pid)).toBe(true);
    await other.end();
  });

  it('are nobody to be told of where the process table cannot be read', async () => {
    const blind: ProcessTable = { ...systemTable, find: () => undefined };
    await expect(endMarkedProcesses(mark, blind)).rejects.toMatchObject({ kind: 'unavailable' });
  });
});

describe.skipIf(!onLinux)('linuxProcessTable', () => {
  it('reads a name with spaces and parentheses', async () => {
    symlinkSync('/bin/sleep', join(current.directory, 'a) R 1 (b'));
    const child = spawn(join(current.directory, 'a) R 1 (b'), ['1000'], {
      stdio: 'ignore',
      env: { TEST_TAG: current.tag },
    });
    expect(linuxProcessTable.find(child.pid ?? 0)).toMatchObject({ parent: process.pid, state: 'alive' });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(linuxProcessTable.find(child.pid ?? 0)).toBeUndefined();
  });

  it.skipIf(!existsSync('/proc/2/stat') || !readFileSync('/proc/2/stat', 'utf8').includes('(kthreadd)'))(
    'leaves out kernel threads',
    () => expect(linuxProcessTable.list().map(({ pid }) => pid)).not.toContain(2),
  );
});
