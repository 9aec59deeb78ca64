import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { AppError } from '../../errors.js';
import { maxSocketPath } from '../data-dir.js';

/** Part of the socket's file name; nothing listens on it. */
export const port = 5432;

const prefix = 'muster-pg-';

/**
 * Makes an empty private directory for the socket, where the data directory's path leaves room for one in it, else
 * among the system's temporary files under a name that nobody can guess.
 *
 * @throws AppError `unavailable` where even that path is too long.
 */
export async function createSocketDir(dataDir: string): Promise<string> {
  const near = join(dataDir, 'socket');
  // Sockets and their lock files of a server that was killed: the data directory is ours, so nobody uses them.
  await rm(near, { recursive: true, force: true });
  if (fits(near)) {
    await mkdir(near, { mode: 0o700 });
    return near;
  }
  const temporary = [tmpdir(), '/tmp'].find((parent) => fits(join(parent, `${prefix}XXXXXX`)));
  if (temporary !== undefined) return mkdtemp(join(temporary, prefix));
  throw new AppError('unavailable', `No room for a Unix socket's path below ${dataDir} or ${tmpdir()}. Set TMPDIR.`);
}

/** Removes a socket directory of this or an earlier run; anything else that it is handed stays. */
export async function removeSocketDir(dataDir: string, dir: string): Promise<void> {
  const temporary = basename(dir).startsWith(prefix) && [tmpdir(), '/tmp'].includes(dirname(dir));
  if (dir === join(dataDir, 'socket') || temporary) await rm(dir, { recursive: true, force: true });
}

function fits(dir: string): boolean {
  return Buffer.byteLength(`${dir}/.s.PGSQL.${port}`) <= maxSocketPath;
}
