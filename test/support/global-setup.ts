import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { lockDataDir } from '../../src/platform/data-dir.js';
import { startEmbeddedPostgres } from '../../src/platform/db/embedded.js';
import { createLog } from '../../src/platform/log.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The real Postgres that all test files share; each test server has a database of its own in it. */
    postgres: { readonly host: string; readonly port: number; readonly user: string; readonly database: string };
  }
}

/** One embedded Postgres for the whole run. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(path.join(tmpdir(), 'muster-test-'));
  const log = createLog('error');
  const lock = await lockDataDir(dataDir, log);
  // Many servers with a pool each; the rest is as the product has it, durable commits included.
  const postgres = await startEmbeddedPostgres({ dataDir, log, settings: { max_connections: '400' } });
  project.provide('postgres', postgres.connection);
  return async () => {
    await postgres.stop();
    await lock.release();
    await rm(dataDir, { recursive: true, force: true });
  };
}
