import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '../../errors.js';
import type { Log } from '../log.js';
import type { PostgresBinaries } from './embedded-binaries.js';
import type { Launcher } from './embedded-launcher.js';
import { readPidFile } from './embedded-orphans.js';

/** A Postgres that accepts connections. */
export interface Postmaster {
  /** Resolves with the reason when it ends without `stop()`. */
  readonly crashed: Promise<string>;
  /** Ends it, whatever it takes; up to 20 s. Idempotent. */
  stop(): Promise<void>;
}

export interface PostmasterOptions {
  readonly cluster: string;
  readonly binaries: PostgresBinaries;
  readonly launcher: Launcher;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: Log;
}

/**
 * Starts Postgres and waits until it accepts connections: after a crash that takes as long as its recovery does.
 * @throws AppError `unavailable` with its last words where it ends instead.
 */
export async function startPostmaster(o: PostmasterOptions): Promise<Postmaster> {
  const settings = Object.entries(o.settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const child = o.launcher.launch(o.binaries.postgres, ['-D', o.cluster, ...settings]);
  let stopping = false;
  let ended: string | undefined;
  const output = relay(child.stderr, o.log, () => stopping);
  const exit = new Promise<string>((done) => {
    child.once('error', (error) => done(error.message));
    child.once('exit', (code, signal) => done(signal === null ? `exit code ${code}` : `signal ${signal}`));
  }).then((reason) => (ended = reason));

  const kill = (signal: NodeJS.Signals): void => void child.kill(signal);
  // A server that ends without having stopped us (an uncaught exception) should not leave Postgres behind.
  const atExit = (): void => kill('SIGINT');
  process.once('exit', atExit);
  void exit.then(() => process.off('exit', atExit));

  const describe = async (): Promise<string> => {
    const reason = await exit;
    // Its last words may arrive after its end, and children may hold the pipe open for longer than they matter.
    await Promise.race([output.closed, sleep(500, undefined, { ref: false })]);
    return `Postgres ended (${reason}). Its last words: ${output.tail().join(' | ') || 'none'}`;
  };

  const shutDown = async (): Promise<void> => {
    stopping = true;
    // Fast, then as in a crash, then by the kernel. The next start recovers from either of the last two.
    for (const { signal, ms } of [
      { signal: 'SIGINT', ms: 10_000 },
      { signal: 'SIGQUIT', ms: 5_000 },
      { signal: 'SIGKILL', ms: 5_000 },
    ] as const) {
      if (ended !== undefined) return;
      if (signal !== 'SIGINT') o.log.warn('postgres_stop_forced', { signal });
      kill(signal);
      const patience = new AbortController();
      await Promise.race([exit, sleep(ms, undefined, { signal: patience.signal }).catch(() => undefined)]);
      patience.abort();
    }
    if (ended === undefined) o.log.error('postgres_stop_failed', { pid: child.pid });
  };

  const patience = setInterval(() => o.log.info('postgres_starting', { pid: child.pid }), 5_000);
  void exit.then(() => clearInterval(patience));
  // Its pid file tells more surely than its log, which settings can silence.
  while (ended === undefined) {
    const found = await readPidFile(o.cluster);
    if (found?.pid === child.pid && found?.status === 'ready') {
      clearInterval(patience);
      let stopped: Promise<void> | undefined;
      return {
        crashed: new Promise((done) => void exit.then(async () => stopping || done(await describe()))),
        stop: () => (stopped ??= shutDown()),
      };
    }
    await Promise.race([exit, sleep(10)]);
  }
  throw new AppError('unavailable', `The embedded Postgres did not start. ${await describe()}`);
}

interface Output {
  /** The newest lines, oldest first. */
  tail(): readonly string[];
  /** Resolves when there will be no more. */
  readonly closed: Promise<void>;
}

/** Hands what Postgres writes to the log, line by line, and keeps the end of it. */
function relay(stream: NodeJS.ReadableStream | null, log: Log, stopping: () => boolean): Output {
  const lines: string[] = [];
  if (stream === null) return { tail: () => lines, closed: Promise.resolve() };
  let severity = '';
  const reader = createInterface({ input: stream });
  reader.on('line', (line) => {
    // A message is one line with its severity, and further lines (DETAIL, HINT, ...) that say more about it. Until its
    // settings are read, Postgres puts the time in front.
    severity = /^(?:\S+ \S+ \S+ )?\[\d+\] (LOG|WARNING|ERROR|FATAL|PANIC): /.exec(line)?.[1] ?? severity;
    // Failed statements are told to their callers. Here their details would put rows of tables into the log.
    if (severity === 'ERROR') return;
    if (lines.push(line) > 20) lines.shift();
    // Connections that end with Postgres itself are FATAL to Postgres and to nobody else.
    const grave = severity === 'PANIC' || (severity === 'FATAL' && !stopping());
    log[grave ? 'error' : 'debug']('postgres', { message: line });
  });
  return { tail: () => lines, closed: new Promise((done) => reader.once('close', done)) };
}
