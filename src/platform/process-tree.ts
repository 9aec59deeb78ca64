import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { AppError, messageOf } from '../errors.js';
import { linuxProcessTable } from './process-tree-linux.js';
import { createProcessTree, createRunMark, type ProcessTable, type RunMark } from './process-tree-members.js';
import { type CapturedOutput, createHeadCapture, createHeadTailCapture } from './process-tree-output.js';
import { psProcessTable } from './process-tree-ps.js';

export { type RunMark, runMarkOf } from './process-tree-members.js';
export { outputText, type CapturedOutput } from './process-tree-output.js';

export interface RunOptions {
  /** Run by `/bin/sh -c`. */
  readonly command: string;
  readonly cwd?: string;
  /** The whole environment; nothing is inherited. `MUSTER_RUN_ID` is added. */
  readonly env: Readonly<Record<string, string>>;
  /** Written, then closed; a program may leave it unread. Without it stdin is /dev/null. */
  readonly stdin?: string | Uint8Array;
  readonly timeoutMs?: number;
  /** An abort cancels the run. */
  readonly signal?: AbortSignal;
  /** From SIGTERM to SIGKILL after a cancel or a timeout; 5000 by default. */
  readonly graceMs?: number;
  /** So many bytes are kept, the rest is read and dropped: the program is never blocked by it. */
  readonly maxStdoutBytes: number;
  /** Which of them: the first (default), or the first and the last half, as of stderr. */
  readonly keepStdout?: 'head' | 'head_and_tail';
  /** The first and the last half of so many bytes are kept, with a line between that counts what is left out. */
  readonly maxStderrBytes: number;
  /** Sees all of stderr as it comes. Must not throw. */
  readonly onStderr?: (chunk: Buffer) => void;
  /** Sees all of stdout as it comes. Must not throw. */
  readonly onStdout?: (chunk: Buffer) => void;
  /** One of its own for each run that may go on at a time; random by default. */
  readonly mark?: RunMark;
}

export interface RunResult {
  /** `timeout` and `canceled` stand whatever way the program then ended. */
  readonly outcome: 'exited' | 'signaled' | 'timeout' | 'canceled' | 'not_started';
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: CapturedOutput;
  readonly stderr: CapturedOutput;
  /** Why it could not start. */
  readonly reason?: string;
  /** Pids of the tree that even SIGKILL did not end, as another user's processes; empty in all but strange cases. */
  readonly survivors: readonly number[];
}

type Child = ChildProcessByStdio<Writable | null, Readable, Readable>;
type Exit = Pick<RunResult, 'exitCode' | 'signal'>;
type StopCause = 'timeout' | 'canceled';

const defaultGraceMs = 5_000;
/** For helpers that end by themselves with the program: `exec > >(tee log)` in bash has tee write the last lines. */
const leftoverMs = 500;
const killLimitMs = 10_000;
const drainMs = 1_000;
const maxTimerMs = 2 ** 31 - 1;

/**
 * Runs one shell command to its end and leaves no process of it behind: not when it ends by itself (leftovers get
 * half a second, then SIGKILL), not on a cancel or a timeout (SIGTERM to all, SIGKILL after the grace time).
 * Never rejects because of the program; one that cannot be started is `not_started` with the reason.
 *
 * Children are found by session, by descent and by two inherited marks, see `createProcessTree` and
 * `linuxProcessTable`. The tree is looked at only when it shall end. Looking while it runs would cost time for nothing:
 * a daemon loses its parent within a millisecond, which a scan twice a second does not see, and the marks find it anyway.
 *
 * What still escapes on Linux: a process that leaves the session, loses its parent, and drops both marks, as by setting
 * RLIMIT_RSS itself under a new environment; one that runs as another user, if we are not root (it is in `survivors`);
 * work handed to a service that ran before (docker, systemd, cron). On other systems: any daemon that left its
 * group and lost its parent. Programs that are to be distrusted belong in a container or a pid namespace.
 * If this process is itself killed, the program lives on: abort `signal` on the way out, or see `endMarkedProcesses`.
 *
 * @param table where processes are looked up; by default what this system has.
 */
export async function runProgram(options: RunOptions, table: ProcessTable = tableOfThisSystem()): Promise<RunResult> {
  const keepStdout = options.keepStdout === 'head_and_tail' ? createHeadTailCapture : createHeadCapture;
  const stdout = keepStdout(options.maxStdoutBytes);
  const stderr = createHeadTailCapture(options.maxStderrBytes);
  const result = (outcome: RunResult['outcome'], exit: Exit, survivors: readonly number[] = []): RunResult => {
    return { outcome, ...exit, stdout: stdout.result(), stderr: stderr.result(), survivors };
  };
  if (options.signal?.aborted === true) return result('canceled', noExit);

  const mark = options.mark ?? createRunMark();
  const started = await start(options, table, mark);
  if ('reason' in started) return { ...result('not_started', noExit), reason: started.reason };
  const { child, pid, exited, closed } = started;

  child.stdout.on('data', (chunk: Buffer) => {
    stdout.add(chunk);
    options.onStdout?.(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr.add(chunk);
    options.onStderr?.(chunk);
  });
  // EPIPE: a program may leave its input unread. It is judged by what it does, not by what it reads.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(options.stdin);

  const isReaped = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const tree = createProcessTree(table, { pid, isReaped }, mark);
  const stop = watchForStop(options);
  const first = await Promise.race([exited, stop.requested]);
  stop.dispose();

  // A program that has ended has spoken, even if Node has not told us yet.
  const stopCause = typeof first === 'string' && !tree.rootHasEnded() ? first : undefined;
  if (stopCause === undefined) await exited;
  const gone = await (stopCause === undefined
    ? tree.waitUntilGone(leftoverMs)
    : tree.terminate(options.graceMs ?? defaultGraceMs));
  const survivors = gone ? [] : await tree.kill(killLimitMs);
  await drain(child, closed);

  if (!isReaped()) child.unref();
  const exit = isReaped() ? await exited : noExit;
  return result(stopCause ?? (exit.signal === null ? 'exited' : 'signaled'), exit, survivors);
}

/**
 * SIGKILL to every process of this machine that carries the mark, and to what descends from it: what a run has left whose
 * own process was killed before it could end it. Not for a mark of which a run goes on in this process. Answers the pids
 * that would not end in ten seconds, as another user's.
 *
 * Finds what `runProgram` would find, but for processes that have dropped both marks and lost their parent while in the
 * session of the run. Where there is no /proc (macOS) no process shows its mark and so none is found: there, what a killed
 * process has left ends by itself, or by hand.
 *
 * @throws AppError `unavailable` when the process table cannot be read.
 */
export async function endMarkedProcesses(
  mark: RunMark,
  table: ProcessTable = tableOfThisSystem(),
): Promise<readonly number[]> {
  if (table.find(process.pid) === undefined) {
    throw new AppError('unavailable', 'The process table of this system cannot be read.');
  }
  return createProcessTree(table, undefined, mark).kill(killLimitMs);
}

const noExit: Exit = { exitCode: null, signal: null };

function tableOfThisSystem(): ProcessTable {
  return process.platform === 'linux' ? linuxProcessTable : psProcessTable;
}

type Started =
  | { readonly reason: string }
  | { readonly child: Child; readonly pid: number; readonly exited: Promise<Exit>; readonly closed: Promise<void> };

async function start(options: RunOptions, table: ProcessTable, mark: RunMark): Promise<Started> {
  try {
    if (table.find(process.pid) === undefined) return { reason: 'the process table of this system cannot be read' };
    const child = spawn('/bin/sh', table.shellArguments(options.command, mark), {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...options.env, MUSTER_RUN_ID: runId(mark) },
      stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      // A session and process group of its own.
      detached: true,
    }) as Child;
    if (child.pid === undefined) {
      const [error] = (await once(child, 'error')) as [unknown];
      return { reason: whyNotStarted(error, options.cwd) };
    }
    const exited = new Promise<Exit>((resolve) => {
      child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }));
    });
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
    return { child, pid: child.pid, exited, closed };
  } catch (error) {
    // Thrown by spawn itself: a NUL byte in the command, arguments too long, no file descriptors.
    return { reason: whyNotStarted(error, options.cwd) };
  }
}

/** A run within a run carries both marks, so that the outer one still knows all of its own. */
function runId(mark: RunMark): string {
  const outer = process.env['MUSTER_RUN_ID'];
  return outer === undefined ? mark.id : `${outer}.${mark.id}`;
}

/** Node reports a bad working directory as "spawn /bin/sh ENOENT". */
function whyNotStarted(error: unknown, cwd: string | undefined): string {
  if (cwd === undefined) return messageOf(error);
  try {
    if (statSync(cwd).isDirectory()) return `${messageOf(error)} (in ${cwd})`;
    return `working directory: ${cwd} is not a directory`;
  } catch (cwdError) {
    return `working directory: ${messageOf(cwdError)}`;
  }
}

interface StopWatch {
  readonly requested: Promise<StopCause>;
  dispose(): void;
}

function watchForStop({ timeoutMs, signal }: RunOptions): StopWatch {
  let dispose = (): void => undefined;
  const requested = new Promise<StopCause>((resolve) => {
    const onAbort = (): void => resolve('canceled');
    const onTimeout = (): void => resolve('timeout');
    signal?.addEventListener('abort', onAbort, { once: true });
    // Node takes a longer timer for one of 1 ms.
    const timer = timeoutMs === undefined ? undefined : setTimeout(onTimeout, Math.min(timeoutMs, maxTimerMs));
    dispose = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
  });
  return { requested, dispose: () => dispose() };
}

/** Reads what is left in the pipes. With the tree gone that ends at once, unless a process that escaped holds them. */
async function drain(child: Child, closed: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<void>((resolve) => {
    // A turn of the loop more: after a long pause of this process the timer comes before what is there to read.
    timer = setTimeout(() => setImmediate(resolve), drainMs);
  });
  await Promise.race([closed, tooLong]);
  clearTimeout(timer);
  child.stdin?.destroy();
  child.stdout.destroy();
  child.stderr.destroy();
}
