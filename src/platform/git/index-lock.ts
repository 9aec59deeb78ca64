import { readlink, rm, symlink } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { AppError } from '../../errors.js';
import { isTaken } from '../files/file-errors.js';
import { isAlive } from '../files/leftovers.js';
import { isStale } from './stale-lock.js';

const waitMs = 10_000;

/**
 * Takes the lock that git takes on the index of a work tree, so that no command of somebody else's changes the index or moves the
 * branch meanwhile. One that a process of ours has left when it died is taken over; its content says whose it was. Rejects with
 * `unavailable` when others hold it for ten seconds. Answers what gives it back.
 */
export async function lockIndex(index: string, signal?: AbortSignal): Promise<() => Promise<void>> {
  const file = `${index}.lock`;
  const end = performance.now() + waitMs;
  for (let waited = 5; !(await take(file)); waited = Math.min(waited * 2, 200)) {
    if (await isLeft(file)) await rm(file, { force: true });
    else if (performance.now() > end) throw busy(file);
    else await pause(waited, undefined, { signal }).catch(() => throwCanceled());
  }
  return () => rm(file, { force: true });
}

function busy(file: string): AppError {
  return new AppError(
    'unavailable',
    `Another git process is at work in the work tree, or has died and left ${file}; try again, or remove that file.`,
  );
}

function throwCanceled(): never {
  throw new AppError('canceled', 'The call has been canceled.');
}

/** A symbolic link to nowhere that says whose it is: made in one step, and as good as a file to git. */
async function take(file: string): Promise<boolean> {
  try {
    await symlink(`${owner}${process.pid}`, file);
    return true;
  } catch (error) {
    if (isTaken(error)) return false;
    throw error;
  }
}

const owner = 'muster-';

async function isLeft(file: string): Promise<boolean> {
  if (await isStale(file)) return true;
  const by = await readlink(file).catch(() => '');
  const pid = by.startsWith(owner) ? Number(by.slice(owner.length)) : NaN;
  return Number.isInteger(pid) && pid !== process.pid && !isAlive(pid);
}
