import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { type App, type AppDeps, startApp } from '../../src/app.js';
import { readSettings } from '../../src/platform/config.js';
import { createLog, type LogLevel } from '../../src/platform/log.js';
import { serverSettings } from '../../src/settings.js';
import { createTestDatabase, type TestDatabase } from './database.js';

export interface TestApp {
  readonly url: string;
  readonly app: App;
  readonly database: TestDatabase;
  /** What it logged, a parsed line each; empty unless a log level was asked for. */
  readonly logged: LogLine[];
  stop(): Promise<void>;
}

export type LogLine = { readonly event: string; readonly level: string; readonly [key: string]: unknown };

export interface TestAppOptions extends Partial<Pick<AppDeps, 'clock' | 'random'>> {
  /** Flags of the server, such as `{ 'job-retention': '1s' }`. */
  readonly flags?: Readonly<Record<string, string>>;
  /** Another server on the database of a test; by default each has its own. */
  readonly database?: TestDatabase;
  readonly logLevel?: LogLevel;
}

/** Servers that share a database share the work trees of tasks, too. */
export function dataDirOf({ name }: TestDatabase): string {
  return path.join(tmpdir(), `muster-${name}`);
}

/** A real server in this process, on a free port and a database of its own, stopped when the test has finished. */
export async function startTestApp(options: TestAppOptions = {}): Promise<TestApp> {
  const app = await launchTestApp(options);
  onTestFinished(() => app.stop());
  return app;
}

/** The same for a caller who stops it, such as a file whose tests share one server. */
export async function launchTestApp(options: TestAppOptions = {}): Promise<TestApp> {
  const database = options.database ?? (await createTestDatabase());
  const logged: LogLine[] = [];
  const dataDir = dataDirOf(database);
  const config = readSettings(serverSettings, {
    flags: {
      port: '0',
      'data-dir': dataDir,
      'database-url': database.url,
      'db-pool-size': '6',
      'poll-interval': '50ms',
      'shutdown-grace': '2s',
      ...options.flags,
    },
    env: {},
  });
  const log = createLog(options.logLevel ?? 'silent', {
    write: (line) => void logged.push(JSON.parse(line) as LogLine),
  });
  const app = await startApp({
    config,
    log,
    ...(options.clock && { clock: options.clock }),
    ...(options.random && { random: options.random }),
  });
  const stopAndDrop = async (): Promise<void> => {
    await app.stop();
    if (options.database !== undefined) return;
    await database.drop();
    await rm(dataDir, { recursive: true, force: true, maxRetries: 3 });
  };
  let stopped: Promise<void> | undefined;
  return { url: app.url, app, database, logged, stop: () => (stopped ??= stopAndDrop()) };
}
