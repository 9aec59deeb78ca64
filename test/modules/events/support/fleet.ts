import { readFileSync } from 'node:fs';
import { codeOf } from '../../../../src/errors.js';
import type { ServerProcess, ServerProcessOptions } from '../../../support/built-server.js';
import { until } from '../../../support/until.js';

/** Servers on one database, each in its place, in which another one may follow it. */
export interface Fleet {
  /** Where clients look for servers: without those that were killed or stopped. */
  urls(): readonly string[];
  /** The same of one place. */
  url(place: number): string | undefined;
  /** All that have ever been, with what they logged. */
  readonly servers: readonly ServerProcess[];
  /** kill -9. */
  kill(place: number): Promise<void>;
  /** Another server in the place of one that was killed. */
  start(place: number): Promise<void>;
  /** SIGSTOP: it does nothing more, and all its connections stay open. Resolves when it stands still. */
  pause(place: number): Promise<void>;
  isPaused(place: number): boolean;
  resume(place: number): void;
}

export async function startFleet(
  startServer: (options: ServerProcessOptions) => ServerProcess,
  databaseUrl: string,
  size: number,
): Promise<Fleet> {
  const servers: ServerProcess[] = [];
  const places = Array.from({ length: size }, () => ({
    server: undefined as ServerProcess | undefined,
    url: undefined as string | undefined,
    paused: false,
  }));
  const at = (place: number) => {
    const found = places[place];
    if (found === undefined) throw new Error(`there is no place ${place}`);
    return found;
  };
  const serverAt = (place: number): ServerProcess => {
    const { server } = at(place);
    if (server === undefined) throw new Error(`there is no server in place ${place}`);
    return server;
  };
  const reachable = (place: number): string | undefined => (at(place).paused ? undefined : at(place).url);

  async function start(place: number): Promise<void> {
    const server = startServer({ databaseUrl });
    servers.push(server);
    at(place).server = server;
    at(place).url = await server.ready();
  }
  // One after the other, so that the first one migrates.
  for (const place of places.keys()) await start(place);

  return {
    servers,
    urls: () => [...places.keys()].flatMap((place) => reachable(place) ?? []),
    url: reachable,
    start,
    async kill(place) {
      serverAt(place).kill('SIGKILL');
      at(place).url = undefined;
      await serverAt(place).exit;
    },
    async pause(place) {
      serverAt(place).kill('SIGSTOP');
      at(place).paused = true;
      await until('the server stands still', () => isStopped(serverAt(place).pid));
    },
    isPaused: (place) => isStopped(serverAt(place).pid),
    resume(place) {
      serverAt(place).kill('SIGCONT');
      at(place).paused = false;
    },
  };
}

function isStopped(pid: number): boolean {
  return /^State:\s+T/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}

/** Whether a call failed since the connection could not be made or was lost, rather than for a fault of ours. */
export function isCutOff(error: unknown): boolean {
  if (error instanceof TypeError) return /^(fetch failed|terminated)$/.test(error.message);
  return ['ECONNREFUSED', 'ECONNRESET', 'EPIPE'].includes(codeOf(error) ?? '');
}
