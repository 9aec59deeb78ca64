import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** A line of `muster work --json`. */
export interface WorkLine {
  readonly event: string;
  readonly job_id?: string;
  readonly status?: string;
  readonly attempt?: number;
  readonly ms?: number;
  readonly reason?: string;
  readonly error?: { readonly code: string } | null;
}

/** `muster work` as a process of its own, as a user starts it. */
export interface DemoWorker {
  readonly name: string;
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>;
  /** Lets it end by itself, or has it kill what it runs; after a while it is killed. */
  stop(how: 'gently' | 'at once'): Promise<void>;
}

export interface DemoWorkerOptions {
  readonly name: string;
  readonly url: string;
  readonly kind: string;
  readonly exec: string;
  readonly onLine: (line: WorkLine) => void;
}

const main = fileURLToPath(new URL('../main.js', import.meta.url));
const patienceMs = 10_000;

export function startDemoWorker({ name, url, kind, exec, onLine }: DemoWorkerOptions): DemoWorker {
  const child: ChildProcess = spawn(
    process.execPath,
    [main, 'work', '--url', url, '--kind', kind, '--exec', exec, '--concurrency', '2', '--worker-id', name, '--json'],
    { stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => resolve());
    child.once('error', () => resolve());
  });
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => onLine(JSON.parse(line) as WorkLine));
  }
  return {
    name,
    ended,
    async stop(how) {
      const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
      child.kill('SIGTERM');
      // Two of a kind could be told as one.
      if (how === 'at once') child.kill('SIGINT');
      await ended;
      clearTimeout(timer);
    },
  };
}
