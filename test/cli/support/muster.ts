import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';
import { soon } from '../../support/until.js';

const program = path.join(import.meta.dirname, '..', '..', '..', 'dist', 'src', 'main.js');

export interface Ended {
  /** The exit code, or the signal that ended it. */
  readonly code: number | NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** By default a folder that has nothing to do with anything. */
  readonly cwd?: string;
  /** What `/bin/sh` does before it becomes the program: a line that ends in `exec "$@"`. */
  readonly shell?: string;
}

/** The built `muster`, as a process; gone when the test has finished. */
export interface Running {
  readonly pid: number;
  readonly lines: readonly string[];
  stdout(): string;
  stderr(): string;
  /** The first line of stdout, past or future, in which `look` finds something. */
  line<T>(what: string, look: (line: string) => T | undefined | false): Promise<T>;
  kill(signal: NodeJS.Signals): void;
  /** Leaves off reading, as `head` does. */
  closeStdout(): void;
  readonly ended: Promise<Ended>;
}

/** Needs a `beforeAll(build)`, as useBuiltServer has it. */
export function startMuster(args: readonly string[], options: RunOptions = {}): Running {
  const { env = {}, stdin, cwd = tmpdir(), shell } = options;
  const line = [process.execPath, program, ...args];
  const [file = '', ...rest] = shell === undefined ? line : ['/bin/sh', '-c', shell, 'sh', ...line];
  const child: ChildProcess = spawn(file, rest, {
    cwd,
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  let stdout = '';
  let stderr = '';
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(stdin);
  child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout?.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      for (const look of waiting) look();
    });
  }
  const ended = new Promise<Ended>((resolve) => {
    child.once('close', (code, signal) => resolve({ code: code ?? signal, stdout, stderr }));
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  return {
    pid: child.pid ?? 0,
    lines,
    stdout: () => stdout,
    stderr: () => stderr,
    line: (what, look) => {
      const seen = new Promise<NonNullable<ReturnType<typeof look>>>((resolve, reject) => {
        let next = 0;
        const again = (): void => {
          for (; next < lines.length; next += 1) {
            const found = look(lines[next] ?? '');
            if (found === undefined || found === false) continue;
            waiting.delete(again);
            resolve(found as NonNullable<typeof found>);
            return;
          }
        };
        waiting.add(again);
        again();
        void ended.then(({ code }) => reject(new Error(`ended (${code}) before ${what}: ${stdout}${stderr}`)));
      });
      return soon(`${what}; stdout: ${stdout}; stderr: ${stderr}`, seen as Promise<never>);
    },
    kill: (signal) => void child.kill(signal),
    closeStdout: () => void child.stdout?.destroy(),
    ended,
  };
}

/** Runs a command to its end. */
export async function runMuster(args: readonly string[], options?: RunOptions): Promise<Ended> {
  return soon(`muster ${args.join(' ')} to end`, startMuster(args, options).ended);
}
