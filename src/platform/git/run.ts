import { type ChildProcess, spawn } from 'node:child_process';
import { channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { AppError, messageOf } from '../../errors.js';
import { gitEnvironment } from './environment.js';
import { noRoom, notPermitted } from '../files/file-errors.js';
import { createSpares, notStarted, type Spares, type Start, type Started } from './spare.js';

export interface GitRun {
  /** What comes from a caller stands behind `--end-of-options` or `--`. */
  readonly args: readonly string[];
  /** Default: `/`, so that git finds no repository by itself. */
  readonly cwd?: string | undefined;
  /** Besides the environment that all have. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly stdin?: string | Uint8Array | undefined;
  /** Default 120,000 ms. Past it the whole process group is killed. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Default 64 MiB. */
  readonly maxOutputBytes?: number | undefined;
  /** What to do beyond that: fail (default), or end git and keep the first bytes. */
  readonly beyond?: 'fail' | 'truncate' | undefined;
}

export interface GitOutput {
  readonly stdout: Buffer;
  /** What it warns of, though it has done what it was to do; 64 KiB at most. */
  readonly stderr: string;
  readonly truncated: boolean;
}

/** Git has run and failed. */
export class GitFailure extends Error {
  override readonly name = 'GitFailure';
  readonly exitCode: number | null;
  readonly stderr: string;

  constructor(args: readonly string[], exitCode: number | null, stderr: string) {
    super(`git ${args[0] ?? ''} failed (${exitCode ?? 'killed'}): ${stderr.trim().slice(0, 2000)}`);
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

/** Runs the git of this machine with an environment of ours. */
export interface Git {
  /**
   * Rejects with GitFailure when git fails, `deadline_exceeded` past the timeout, `canceled` on an abort, `too_large` beyond
   * the output that is allowed, `unavailable` where git cannot be started.
   */
  run(run: GitRun): Promise<GitOutput>;
}

const defaultTimeoutMs = 120_000;
const defaultOutputBytes = 64 * 1024 * 1024;
const maxStderrBytes = 64 * 1024;
/** For what is in the pipes when git has ended. */
const drainMs = 2_000;

type Stopped = 'deadline_exceeded' | 'canceled' | 'too_large' | 'truncated';

export interface GitOptions {
  /** Default `git`, as PATH has it. */
  readonly program?: string;
  /** Default: four, from the first run on. */
  readonly spares?: Spares;
}

/** What benchmarks listen to: when a git was asked for, when it had begun, and when it was known to have ended; `performance.now()`. */
export interface GitSpan {
  readonly asked: number;
  readonly begun: number;
  readonly ended: number;
}

const spans = channel('muster.git');

export function createGit({ program = 'git', ...options }: GitOptions = {}): Git {
  const common = gitEnvironment();
  const { spares = createSpares(4, common) } = options;
  return {
    async run({ args, cwd = '/', env = {}, stdin, timeoutMs = defaultTimeoutMs, signal, ...limits }) {
      if (signal?.aborted === true) throw canceled();
      const asked = performance.now();
      const start: Start = { program, args, cwd, env, hasInput: stdin !== undefined };
      const spare = spares.take(start);
      const { child, ...streams } = spare ?? startAnew(start, common);
      if (child.pid === undefined) throw await whyNotStarted(child);
      const begun = performance.now();
      child.once('exit', () => {
        if (spans.hasSubscribers) spans.publish({ asked, begun, ended: performance.now() } satisfies GitSpan);
      });
      const { maxOutputBytes = defaultOutputBytes, beyond = 'fail' } = limits;
      let stopped: Stopped | undefined;
      const stop = (why: Stopped): void => {
        stopped ??= why;
        killGroup(child);
      };
      const stdout = keepHead(streams.stdout, maxOutputBytes, () =>
        stop(beyond === 'fail' ? 'too_large' : 'truncated'),
      );
      const stderr = keepHead(streams.stderr, maxStderrBytes, () => undefined);
      const onAbort = (): void => stop('canceled');
      signal?.addEventListener('abort', onAbort, { once: true });
      const timer = setTimeout(() => stop('deadline_exceeded'), timeoutMs);
      // EPIPE: git may end before it has read all. Its exit code tells.
      streams.stdin?.on('error', () => undefined).end(stdin);
      const exitCode = await ended(child);
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      switch (stopped as Stopped | undefined) {
        case 'deadline_exceeded':
          throw new AppError('deadline_exceeded', `git ${args[0] ?? ''} took longer than ${timeoutMs} ms.`);
        case 'canceled':
          throw canceled();
        case 'too_large':
          throw new AppError('too_large', `git ${args[0] ?? ''} had more than ${maxOutputBytes} bytes to say.`);
        case 'truncated':
          return { stdout: stdout(), stderr: stderr().toString(), truncated: true };
        default:
          if (spare !== undefined && notStarted.has(exitCode)) throw neverStarted(stderr().toString().trim());
          if (exitCode !== 0) throw failureOf(args, exitCode, stderr().toString());
          return { stdout: stdout(), stderr: stderr().toString(), truncated: false };
      }
    },
  };
}

/** What can be mended from outside is said to the caller; the rest is for the log. */
function failureOf(args: readonly string[], exitCode: number | null, stderr: string): Error {
  const failure = new GitFailure(args, exitCode, stderr);
  // Of files that it checks out git says no more than that.
  if (/No space left on device|Disk quota exceeded|File too large|unable to write file/.test(stderr)) {
    return noRoom(failure);
  }
  const [denied] =
    /[^\n]*(?:Permission denied|insufficient permission|Operation not permitted|Read-only file system)[^\n]*/.exec(
      stderr,
    ) ?? [];
  if (denied !== undefined) return notPermitted(denied.replace(/^(?:error|fatal|warning): /, ''), failure);
  const [, lock] = /Unable to create '(.+\.lock)': File exists/s.exec(stderr) ?? [];
  if (lock === undefined) return failure;
  const message = `Another git process is at work, or has died and left ${lock}; try again, or remove that file.`;
  return new AppError('unavailable', message, { cause: failure });
}

function canceled(): AppError {
  return new AppError('canceled', 'The call has been canceled.');
}

function startAnew({ program, args, cwd, env, hasInput }: Start, common: Readonly<Record<string, string>>): Started {
  const child = spawn(program, [...args], {
    cwd,
    env: { ...common, ...env },
    stdio: [hasInput ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    detached: true,
  });
  return { child, stdin: child.stdin ?? undefined, stdout: child.stdout, stderr: child.stderr };
}

async function whyNotStarted(child: ChildProcess): Promise<AppError> {
  const [error] = (await once(child, 'error')) as [unknown];
  return neverStarted(messageOf(error), error);
}

function neverStarted(why: string, cause?: unknown): AppError {
  return new AppError('unavailable', `git cannot be started: ${why}`, { cause });
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}

/** Keeps the first bytes of a stream, and reads on. */
function keepHead(stream: Readable | null, maxBytes: number, onBeyond: () => void): () => Buffer {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream?.on('data', (chunk: Buffer) => {
    if (bytes < maxBytes) chunks.push(chunk.subarray(0, maxBytes - bytes));
    bytes += chunk.length;
    if (bytes > maxBytes) onBeyond();
  });
  return () => Buffer.concat(chunks);
}

/** Resolves with the exit code when git has ended and its output has been read; null when it was killed. */
async function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    let drain: NodeJS.Timeout | undefined;
    const settle = (): void => {
      clearTimeout(drain);
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve(child.exitCode);
    };
    // A process that left the group may hold the pipes open for ever.
    child.once('exit', () => (drain = setTimeout(settle, drainMs)));
    child.once('close', settle);
  });
}
