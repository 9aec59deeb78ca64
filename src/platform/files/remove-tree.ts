import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { lstat, readdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { isMissing } from './file-errors.js';
import { isLeftover, letGo, passingName, placeOfPassing } from './leftovers.js';

/**
 * Removes a folder and all that is in it; nothing when it is not there. First it is put out of the way under another name, so that
 * nobody finds half of it. A symbolic link in its place, or within, goes itself and not what it leads to. `rm` does it, which
 * follows no link even when one is put in its way, and goes deeper than paths can be long.
 */
export async function removeTree(folder: string): Promise<void> {
  const away = passingName(folder, 'from');
  try {
    await rename(folder, away);
    await removeAway(away);
  } catch (error) {
    if (!isMissing(error)) throw error;
  } finally {
    letGo(away);
  }
}

/**
 * Sweeps up what dead processes have left on its way to or from a place. What a git of theirs still writes to may resist; that is for
 * the next one to sweep up.
 */
export async function sweepLeftovers(place: string): Promise<void> {
  const folder = path.dirname(place);
  for (const entry of await readdir(folder).catch(() => [])) {
    const file = path.join(folder, entry);
    const isOf = entry.startsWith(path.basename(place)) && placeOfPassing(file) === place;
    if (isOf && isLeftover(file)) await removeAway(file).catch(() => undefined);
  }
}

async function removeAway(away: string): Promise<void> {
  if ((await run('rm', ['-rf', '--', away])) === 0) return;
  // Folders that may not be written into, or that a process has still filled.
  await run('chmod', ['-R', 'u+rwX', '--', away]);
  const code = await run('rm', ['-rf', '--', away]);
  const left = await lstat(away).catch(() => undefined);
  if (code !== 0 && left !== undefined) throw new Error(`rm could not remove ${away} (${code})`);
}

async function run(program: string, args: readonly string[]): Promise<number | null> {
  const child = spawn(program, [...args], { stdio: 'ignore', env: { PATH: process.env['PATH'], LC_ALL: 'C' } });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}
