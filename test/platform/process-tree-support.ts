import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect } from 'vitest';
import { linuxProcessTable } from '../../src/platform/process-tree-linux.js';
import { psProcessTable } from '../../src/platform/process-tree-ps.js';
import { runProgram, type RunOptions } from '../../src/platform/process-tree.js';

export const onLinux = process.platform === 'linux';
export const systemTable = onLinux ? linuxProcessTable : psProcessTable;

/** Of the running test: its directory, and the value of TEST_TAG that only its programs have. */
export const current = { directory: '', tag: '' };

/** A directory and a tag for each test of the file; after each, no process with the tag may be left. */
export function setUpEachTest(): void {
  beforeEach(() => {
    current.tag = `process-tree-test-${randomUUID()}`;
    current.directory = mkdtempSync(join(tmpdir(), 'muster-process-tree-'));
  });
  afterEach(() => {
    const left = livingWithTag();
    // Several rounds: what a failed test leaves behind may still be forking.
    for (let round = 0; round < 50; round += 1) for (const pid of livingWithTag()) endIfThere(pid);
    rmSync(current.directory, { recursive: true, force: true });
    expect(left, 'processes left behind').toEqual([]);
  });
}

export function optionsFor(command: string, options: Partial<RunOptions> = {}): RunOptions {
  return {
    command,
    cwd: current.directory,
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', TEST_TAG: current.tag },
    maxStdoutBytes: 2 ** 20,
    maxStderrBytes: 2 ** 20,
    ...options,
  };
}

export function run(command: string, options: Partial<RunOptions> = {}) {
  return runProgram(optionsFor(command, options));
}

/** Cancels at the first byte on stderr. */
export function cancelWhenReady(command: string, options: Partial<RunOptions> = {}, table = systemTable) {
  const controller = new AbortController();
  const onStderr = () => controller.abort();
  return runProgram(optionsFor(command, { ...options, signal: controller.signal, onStderr }), table);
}

/** A process of the test itself, in its own session, without any mark of a run. */
export function bystander() {
  const child = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore', env: { TEST_TAG: current.tag } });
  const exited = once(child, 'exit');
  if (child.pid === undefined) throw new Error('sleep did not start');
  return {
    pid: child.pid,
    isReaped: () => child.exitCode !== null || child.signalCode !== null,
    end: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Found by other means than those under test. Knows nobody where there is no /proc. */
export function livingWithTag(): number[] {
  if (!onLinux) return [];
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter(hasTag).map(Number).filter(isAlive);
}

function endIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

function hasTag(pid: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(current.tag);
  } catch {
    return false;
  }
}

export function isAlive(pid: number): boolean {
  const entry = systemTable.find(pid);
  return entry !== undefined && entry.state !== 'dead';
}

/** Waits for a line in the file. */
export async function pidFrom(file: string): Promise<number> {
  const path = join(current.directory, file);
  const read = () => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  await eventually(() => read().endsWith('\n'));
  return pidIn(read());
}

/** Throws for anything but a process id: a signal to 0 would go to the whole test run. */
export function pidIn(text: string): number {
  const pid = Number(text);
  if (!Number.isInteger(pid) || pid <= 1) throw new Error(`not a process id: ${text}`);
  return pid;
}

export async function eventually(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`never came true: ${condition.toString()}`);
    await delay(5);
  }
}

export function deferred() {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve: () => resolve() };
}
