import { existsSync } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Staging } from './changes.js';
import { withAgedCopy } from './index-file.js';
import { inWorkTree, readPlainFile } from './plain-file.js';

/** A file, and the filter that attributes put it under. Names are as bytes would have them, decoded as Latin-1. */
export interface Filtered {
  readonly name: string;
  readonly filter: string;
}

/** Which of these files, named from the work tree's root, are under a filter. */
export async function findFiltered(staging: Staging, names: readonly string[]): Promise<readonly Filtered[]> {
  if (names.length === 0 || !(await mayBeFiltered(staging.workTree, names))) return [];
  const { view, ...on } = staging;
  const stdin = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
  const { stdout } = await view.run({
    args: ['check-attr', '-z', '--stdin', 'filter'],
    stdin,
    maxOutputBytes,
    ...on,
  });
  // A path, `filter` and its value each.
  const fields = stdout.toString('latin1').split('\0');
  return names
    .map((name, index) => ({ name, filter: fields[index * 3 + 2] ?? '' }))
    .filter(({ filter }) => filter !== '' && filter !== 'unspecified' && filter !== 'unset');
}

const maxOutputBytes = 512 * 1024 * 1024;

/** To ask git takes longer than to see that no file of attributes on the way to these names has a filter, unless the ways are many. */
async function mayBeFiltered(workTree: string, names: readonly string[]): Promise<boolean> {
  const folders = new Set<string>();
  for (const name of names) {
    for (let folder = path.posix.dirname(name); !folders.has(folder); folder = path.posix.dirname(folder)) {
      if (folders.size === maxFolders) return true;
      folders.add(folder);
    }
  }
  // At once: for files that are mostly not there a promise each takes ten times as long.
  const files = [...folders]
    .map((folder) => inWorkTree(workTree, `${folder}/.gitattributes`))
    .filter((file) => existsSync(file));
  const mays = files.map(async (file) => {
    try {
      return (await readPlainFile(file))?.includes('filter') === true;
    } catch {
      // Git knows what to make of one that cannot be read.
      return true;
    }
  });
  return (await Promise.all(mays)).includes(true);
}

const maxFolders = 200;

/**
 * Which of these tracked files under filters are as they were when somebody's own git staged them. That what is staged is not what is in them
 * tells nothing, since it went through the filter. What git goes by otherwise is how a file looks, with times in seconds; where one was
 * written in the same second as the index, the exact times tell which was first.
 */
export async function findAsStaged(staging: Staging, names: readonly string[]): Promise<ReadonlySet<string>> {
  const { view, indexFile, workTree, ...on } = staging;
  // Without an index nothing is tracked.
  if (names.length === 0) return new Set();
  const written = (await stat(indexFile, { bigint: true })).mtimeNs;
  const isOlder = async (name: string): Promise<boolean> => {
    const info = await lstat(inWorkTree(workTree, name), { bigint: true }).catch(() => undefined);
    return info !== undefined && info.mtimeNs <= written && info.ctimeNs <= written;
  };
  const older = await Promise.all(names.map(isOlder));
  const same = new Set(names.filter((_name, index) => older[index]));
  if (same.size === 0) return same;
  return withAgedCopy(indexFile, async (aged) => {
    const args = ['diff-files', '-z', '--name-only', '--ignore-submodules=all'];
    const { stdout } = await view.run({ args, maxOutputBytes, workTree, indexFile: aged, ...on });
    for (const name of stdout.toString('latin1').split('\0')) same.delete(name);
    return same;
  });
}
