import { readFile, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AppError } from '../../errors.js';
import type { Log } from '../log.js';

/** What a running Postgres writes into its cluster, and a killed one leaves there. */
export interface PidFile {
  readonly pid: number;
  readonly socketDir: string | undefined;
  /** `starting`, `ready`, `stopping`; undefined before the first of them. */
  readonly status: string | undefined;
}

const pidFileName = 'postmaster.pid';

/** Undefined where there is none, and where it is empty or damaged. */
export async function readPidFile(cluster: string): Promise<PidFile | undefined> {
  const lines = (await readFile(join(cluster, pidFileName), 'utf8').catch(() => '')).split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return { pid, socketDir: lines[4] || undefined, status: lines[7]?.trim() || undefined };
}

/**
 * Ends every Postgres that still runs on this cluster, and makes what it left passable for the next one. To be called
 * by the holder of the data directory's lock only: whoever runs here has outlived the server that started it.
 *
 * @throws AppError `unavailable` where one cannot be ended.
 */
export async function endOrphans(cluster: string, log: Log): Promise<void> {
  // Politely, then as for a crash, which the next start recovers from, then by the kernel.
  const steps = [
    { signal: 'SIGINT', ms: 10_000 },
    { signal: 'SIGQUIT', ms: 5_000 },
    { signal: 'SIGKILL', ms: 5_000 },
  ] as const;
  const leader = (await readPidFile(cluster))?.pid;
  for (const { signal, ms } of steps) {
    const pids = await processesOf(cluster, leader);
    if (pids.length === 0) break;
    // The postmaster ends its children in order. Children without one end by themselves, unless they are busy; SIGINT
    // means something else to each kind of them, so they get none.
    const led = leader !== undefined && pids.includes(leader);
    const targets = led && signal !== 'SIGKILL' ? [leader] : signal === 'SIGINT' ? [] : pids;
    log.warn('postgres_orphan', { pids, signal: targets.length > 0 ? signal : 'none' });
    for (const pid of targets) send(pid, signal);
    const patience = targets.length > 0 ? ms : 500;
    for (let waited = 0; waited < patience && (await processesOf(cluster, leader)).length > 0; waited += 20) {
      await sleep(20);
    }
  }
  const left = await processesOf(cluster, leader);
  if (left.length > 0) {
    throw new AppError(
      'unavailable',
      `A Postgres still runs on ${cluster} and cannot be ended: pid ${left.join(', ')}.`,
    );
  }
  await defusePidFile(cluster);
}

/**
 * Postgres refuses to start while the pid in its pid file is alive, though by now it may be anyone's (in a container
 * nearly certainly). It takes the pid of its own parent for stale, so that is put there. The rest of the file stays:
 * by it Postgres makes sure that nobody else has the cluster's shared memory open.
 */
async function defusePidFile(cluster: string): Promise<void> {
  const path = join(cluster, pidFileName);
  const found = await readPidFile(cluster);
  // An empty or damaged one (disk full, power lost) would refuse every start to come.
  if (found === undefined) return rm(path, { force: true });
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(/^\d+/, String(process.pid)));
}

/** Pids of the Postgres programs that run on this cluster. `leader` is the one of its pid file. */
async function processesOf(cluster: string, leader: number | undefined): Promise<number[]> {
  if (process.platform !== 'linux') {
    return leader !== undefined && (await looksLikePostgres(leader, cluster)) ? [leader] : [];
  }
  const home = await stat(cluster).catch(() => undefined);
  if (home === undefined) return [];
  const pids: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // Postgres works in its cluster, and so do its children. Programs that we may not look into are not ours.
    const at = await stat(`/proc/${name}/cwd`).catch(() => undefined);
    if (at === undefined || at.ino !== home.ino || at.dev !== home.dev) continue;
    // The file may have been replaced by a newer one since; the kernel says so behind its name.
    const program = basename(await readlink(`/proc/${name}/exe`).catch(() => '')).replace(/ \(deleted\)$/, '');
    if (program === 'postgres') pids.push(Number(name));
  }
  return pids;
}

async function looksLikePostgres(pid: number, cluster: string): Promise<boolean> {
  try {
    const { stdout } = await promisify(execFile)('ps', ['-ww', '-p', String(pid), '-o', 'command=']);
    return stdout.includes('postgres') && stdout.includes(cluster);
  } catch {
    return false;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile, or is not ours to end: the next look at the processes tells which.
  }
}
