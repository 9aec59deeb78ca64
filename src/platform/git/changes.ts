import type { View } from './view.js';

/** What differs in a work tree: from its branch to its index, and from its index to its files. */
export interface Changes {
  /** The commit that the branch is at; undefined where there is none yet. */
  readonly head: string | undefined;
  /** Whatever differs, one way or the other, or is not merged; names as in `changed`. */
  readonly names: readonly string[];
  /** Of which the index has to be told, deleted files apart; names as bytes would have them, decoded as Latin-1. */
  readonly changed: readonly string[];
  readonly deleted: readonly string[];
  /** Whether the index differs from the branch. */
  readonly staged: boolean;
  /** Whether a file differs both ways, which may come to no difference at all. */
  readonly both: boolean;
  /** Whether a merge has left a file in more than one version. */
  readonly unmerged: boolean;
  /** Folders that are repositories of their own, and that git does not know as submodules. */
  readonly nested: readonly string[];
}

export interface Staging {
  readonly view: View;
  readonly gitDir: string;
  readonly workTree: string;
  /** One of ours, which begins as a copy of the work tree's own. */
  readonly indexFile: string;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly signal?: AbortSignal | undefined;
}

const maxBytes = 256 * 1024 * 1024;

/** Looks what has changed. Submodules are asked for their HEAD alone: git would else run in them by their own configuration. */
export async function findChanges({ view, ...on }: Staging): Promise<Changes> {
  const { stdout } = await view.run({
    args: [
      ...['status', '--porcelain=v2', '--branch', '-z', '--untracked-files=all'],
      ...['--ignore-submodules=dirty', '--no-renames', '--no-ahead-behind'],
    ],
    maxOutputBytes: maxBytes,
    ...on,
  });
  return changesOf(stdout.toString('latin1'));
}

/**
 * Each record is `1 XY ... path`, `u XY ... path` or `? path`: X says whether the index differs from the branch, Y whether the file
 * differs from the index. Before them comes `# branch.oid` with the commit.
 */
function changesOf(text: string): Changes {
  const changed: string[] = [];
  const deleted: string[] = [];
  const nested: string[] = [];
  const names = new Set<string>();
  let head: string | undefined;
  let staged = false;
  let both = false;
  let unmerged = false;
  for (const record of text.split('\0')) {
    const kind = record.charAt(0);
    if (kind === '?') {
      const name = record.slice(2);
      names.add(name);
      (name.endsWith('/') ? nested : changed).push(name);
    } else if (kind === 'u') {
      const name = fieldsAfter(record, 10);
      names.add(name);
      changed.push(name);
      unmerged = true;
    } else if (kind === '1') {
      const [x, y] = [record.charAt(2), record.charAt(3)];
      const name = fieldsAfter(record, 8);
      names.add(name);
      if (x !== '.') staged = true;
      if (y !== '.') (y === 'D' ? deleted : changed).push(name);
      if (x !== '.' && y !== '.') both = true;
    } else if (kind === '#') {
      head ??= /^# branch\.oid ([0-9a-f]+)$/.exec(record)?.[1];
    }
  }
  // A file may be gone from the index and be there as one that git does not know.
  return {
    head,
    names: [...names],
    changed,
    deleted,
    staged,
    both: both || (staged && changed.length > 0),
    unmerged,
    nested,
  };
}

function fieldsAfter(record: string, count: number): string {
  let at = 0;
  for (let field = 0; field < count; field += 1) at = record.indexOf(' ', at) + 1;
  return record.slice(at);
}

/** Tells the index of it all, so that it is as the files are. */
export async function stage(on: Staging, { changed, deleted }: Changes): Promise<void> {
  // First, and by force: a folder of theirs may be a file or a symbolic link now.
  await updateIndex(on, ['--force-remove'], deleted);
  await updateIndex(on, ['--add', '--remove'], changed);
}

async function updateIndex({ view, ...on }: Staging, how: readonly string[], names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const stdin = Buffer.from(names.map((name) => `${name}\0`).join(''), 'latin1');
  await view.run({ args: ['update-index', ...how, '-z', '--stdin'], stdin, timeoutMs: stageMs, ...on });
}

/** A large change on a slow disk. */
const stageMs = 600_000;
