import path from 'node:path';
import { AppError } from '../../errors.js';
import type { Staging } from './changes.js';
import { readPlainFile } from './plain-file.js';

/**
 * Filters without which a file must not be committed: its text would be no longer secret (git-crypt, and `crypt` of transcrypt), or it would be in
 * the repository for good, whatever its size (Git LFS). Without any other one a commit is as good as where that is not installed.
 */
const needed: ReadonlySet<string> = new Set(['lfs', 'git-crypt', 'crypt']);

/**
 * Refuses to take files as they are which attributes put under one of these filters, since no filter is ever run.
 *
 * @param names from the work tree's root; as bytes would have them, decoded as Latin-1.
 * @throws AppError `conflict` with `details.filtered`, the first twenty paths.
 */
export async function requireUnfiltered(staging: Staging, names: readonly string[]): Promise<void> {
  if (names.length === 0 || !(await mayBeFiltered(staging.workTree, names))) return;
  const filtered = (await filtersOf(staging, names)).filter(({ filter }) => needed.has(filter));
  const [first] = filtered;
  if (first === undefined) return;
  const paths = filtered.map(({ name }) => Buffer.from(name, 'latin1').toString());
  const [of, them] = paths.length === 1 ? ['', 'it'] : [` and ${paths.length - 1} more`, 'them'];
  throw new AppError(
    'conflict',
    `${paths[0]}${of} would be committed without the filter '${first.filter}', which Muster does not run; stage ${them} in the work tree (git add), and submit again.`,
    { details: { filter: first.filter, filtered: paths.slice(0, 20) } },
  );
}

/** To ask git takes longer than to see that no file of attributes on the way to these names has a filter. */
async function mayBeFiltered(workTree: string, names: readonly string[]): Promise<boolean> {
  const folders = new Set<string>();
  for (const name of names) {
    for (let folder = path.posix.dirname(name); !folders.has(folder); folder = path.posix.dirname(folder)) {
      folders.add(folder);
    }
  }
  const mays = [...folders].map(async (folder) => {
    try {
      return (await readPlainFile(attributesIn(workTree, folder)))?.includes('filter') === true;
    } catch {
      // Git knows what to make of one that cannot be read.
      return true;
    }
  });
  return (await Promise.all(mays)).includes(true);
}

function attributesIn(workTree: string, folder: string): Buffer {
  return Buffer.concat([Buffer.from(`${workTree}/`), Buffer.from(`${folder}/.gitattributes`, 'latin1')]);
}

async function filtersOf(
  { view, ...on }: Staging,
  names: readonly string[],
): Promise<readonly { readonly name: string; readonly filter: string }[]> {
  const stdin = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
  const { stdout } = await view.run({ args: ['check-attr', '-z', '--stdin', 'filter'], stdin, maxOutputBytes, ...on });
  // A path, `filter` and its value each.
  const fields = stdout.toString('latin1').split('\0');
  return names.map((name, index) => ({ name, filter: fields[index * 3 + 2] ?? '' }));
}

const maxOutputBytes = 512 * 1024 * 1024;
