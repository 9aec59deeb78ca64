import { notPermitted } from '../files/file-errors.js';
import { type Filtered, findAsStaged, findFiltered } from './filtered.js';
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
  /** What a merge has left in more than one version. */
  readonly unmerged: readonly Unmerged[];
  /** Of `changed`, what is under a filter. */
  readonly filtered: readonly Filtered[];
  /** Whether files under a filter were left out, since they are as they were staged. */
  readonly asStaged: boolean;
  /** Folders that are repositories of their own, and that git does not know as submodules. */
  readonly nested: readonly string[];
}

export interface Unmerged {
  readonly name: string;
  /** What either side has done, as git writes it: `UU` where both have changed it, `DU` where ours has deleted it, and so on. */
  readonly how: string;
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
export async function findChanges(staging: Staging): Promise<Changes> {
  const { view, ...on } = staging;
  const { stdout, stderr } = await view.run({
    args: [
      ...['status', '--porcelain=v2', '--branch', '-z', '--untracked-files=all'],
      ...['--ignore-submodules=dirty', '--no-renames', '--no-ahead-behind'],
    ],
    maxOutputBytes: maxBytes,
    ...on,
  });
  requireReadable(stderr);
  const { tracked, ...found } = changesOf(stdout.toString('latin1'));
  const filtered = await findFiltered(staging, found.changed);
  if (filtered.length === 0) return { ...found, filtered, asStaged: false };
  const same = await findAsStaged(
    staging,
    filtered.map(({ name }) => name).filter((name) => tracked.has(name)),
  );
  return {
    ...found,
    changed: found.changed.filter((name) => !same.has(name)),
    names: found.names.filter((name) => !same.has(name) || tracked.get(name) === 'staged'),
    filtered: filtered.filter(({ name }) => !same.has(name)),
    asStaged: same.size > 0,
  };
}

/** Git warns of a folder that it cannot look into, and goes on as if there were nothing in it. */
function requireReadable(warnings: string): void {
  const [warning] = /could not open directory [^\n]*/.exec(warnings) ?? [];
  if (warning !== undefined) throw notPermitted(warning, undefined);
}

interface Found extends Omit<Changes, 'filtered' | 'asStaged'> {
  /** Of `changed`, what is in the index, and whether that differs from the branch. */
  readonly tracked: ReadonlyMap<string, 'staged' | 'as the branch has it'>;
}

/**
 * Each record is `1 XY ... path`, `u XY ... path` or `? path`: X says whether the index differs from the branch, Y whether the file
 * differs from the index. Before them comes `# branch.oid` with the commit.
 */
function changesOf(text: string): Found {
  const changed: string[] = [];
  const deleted: string[] = [];
  const nested: string[] = [];
  const names = new Set<string>();
  const tracked = new Map<string, 'staged' | 'as the branch has it'>();
  let head: string | undefined;
  let staged = false;
  let both = false;
  const unmerged: Unmerged[] = [];
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
      unmerged.push({ name, how: record.slice(2, 4) });
    } else if (kind === '1') {
      const [x, y] = [record.charAt(2), record.charAt(3)];
      const name = fieldsAfter(record, 8);
      names.add(name);
      if (x !== '.') staged = true;
      if (y === 'D') deleted.push(name);
      else if (y !== '.') {
        changed.push(name);
        tracked.set(name, x === '.' ? 'as the branch has it' : 'staged');
      }
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
    tracked,
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
