import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, onTestFinished } from 'vitest';
import { patienceMs, soon, until } from './until.js';

const repo = path.join(import.meta.dirname, '..', '..');
const program = path.join(repo, 'dist', 'src', 'main.js');

/** A line of a server's log; what is no JSON comes as `text`. */
export type Line = { readonly event?: string; readonly [field: string]: unknown };

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `node dist/src/main.js`, started for one case and surely gone after it, with its Postgres. */
export interface ServerProcess {
  readonly pid: number;
  readonly lines: readonly Line[];
  stderr(): string;
  /** The first line of this event, written already or later. Rejects when the process ends first. */
  logged(event: string): Promise<Line>;
  /** Where it listens. Rejects with what it said when it ends instead. */
  ready(): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  readonly exit: Promise<Exit>;
}

export interface ServerProcessOptions {
  /** By default the embedded database, in `dataDir`. */
  readonly databaseUrl?: string;
  readonly dataDir?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
}

/** For a file of tests that runs the built program: builds it first, where it is not built yet. */
export function useBuiltServer(): (options?: ServerProcessOptions) => ServerProcess {
  beforeAll(build);
  return startServer;
}

function startServer(options: ServerProcessOptions = {}): ServerProcess {
  const child = spawn(process.execPath, [program, ...(options.args ?? [])], {
    cwd: tmpdir(),
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      MUSTER_PORT: '0',
      MUSTER_POLL_INTERVAL: '50ms',
      MUSTER_SHUTDOWN_GRACE: '2s',
      ...(options.databaseUrl !== undefined && { DATABASE_URL: options.databaseUrl }),
      ...(options.dataDir !== undefined && { MUSTER_DATA_DIR: options.dataDir }),
      ...options.env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: Line[] = [];
  const waiting = new Set<() => void>();
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line.startsWith('{') ? (JSON.parse(line) as Line) : { text: line });
    waiting.forEach((look) => look());
  });
  const exit = exitOf(child);
  const dataDir = options.dataDir;
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exit;
    if (dataDir !== undefined) await endPostgres(dataDir);
  });

  const logged = (event: string): Promise<Line> => {
    const seen = new Promise<Line>((resolve) => {
      const look = (): void => {
        const line = lines.find((each) => each.event === event);
        if (line === undefined) return;
        waiting.delete(look);
        resolve(line);
      };
      waiting.add(look);
      look();
    });
    const ended = exit.then(({ code, signal }) => {
      throw new Error(`ended (${code ?? signal}) before it logged ${event}: ${stderr}`);
    });
    return soon(`the line '${event}'; stderr: ${stderr}`, Promise.race([seen, ended]));
  };
  return {
    pid: child.pid ?? 0,
    lines,
    stderr: () => stderr,
    logged,
    ready: async () => String((await logged('ready'))['url']),
    kill: (signal) => void child.kill(signal),
    exit,
  };
}

function exitOf(child: ChildProcess): Promise<Exit> {
  // 'close', not 'exit': all that it wrote has been read by then.
  return new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
}

/** A new directory, removed after the case. */
export async function makeTempDir(parent = tmpdir()): Promise<string> {
  const dir = await mkdtemp(path.join(parent, 'muster-test-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** The pid of the Postgres that runs in a data directory, if one does. */
export function postgresOf(dataDir: string): number | undefined {
  try {
    const pid = Number(readFileSync(path.join(dataDir, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);
    return isRunning(pid) && /postgres/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8')) ? pid : undefined;
  } catch {
    return undefined;
  }
}

/** True for a process that is there and has not ended. */
export function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Ends the Postgres that a killed server left, so that no case leaves one behind. */
async function endPostgres(dataDir: string): Promise<void> {
  const pid = postgresOf(dataDir);
  if (pid === undefined) return;
  process.kill(pid, 'SIGQUIT');
  await until(`Postgres ${pid} has ended`, () => !isRunning(pid));
}

/** Two test files must not compile at a time: a server that starts then could read half a file. */
async function build(): Promise<void> {
  mkdirSync(path.join(repo, 'dist'), { recursive: true });
  const lock = path.join(repo, 'dist', '.building');
  await until('nobody else compiles', async () => {
    try {
      const file = openSync(lock, 'wx');
      writeSync(file, String(process.pid));
      closeSync(file);
      return true;
    } catch {
      // Of a run that was killed.
      const age = Date.now() - (await stat(lock).catch(() => ({ mtimeMs: Date.now() }))).mtimeMs;
      if (age > patienceMs / 2) rmSync(lock, { force: true });
      return false;
    }
  });
  try {
    // tsc trusts its record of what it wrote, even when the files have gone.
    if (!existsSync(program)) rmSync(path.join(repo, 'dist', '.tsbuildinfo'), { force: true });
    // Types are checked elsewhere; here an unfinished file should not be in the way.
    execFileSync(path.join(repo, 'node_modules', '.bin', 'tsc'), ['-p', repo, '--noCheck'], { stdio: 'inherit' });
  } finally {
    rmSync(lock, { force: true });
  }
}
