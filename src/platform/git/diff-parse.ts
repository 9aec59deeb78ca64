/** What a difference is between two states of a repository, in the words of the documented API. */
export interface Diff {
  /** As `git diff` prints it, as far as it goes. */
  readonly unified: string;
  /** Whether lines are missing at its end, and in `files`. */
  readonly truncated: boolean;
  readonly files: readonly DiffFile[];
}

export type FileStatus = 'Added' | 'Modified' | 'Deleted' | 'Renamed' | 'TypeChanged';

export interface DiffFile {
  readonly path: string;
  /** Of a renamed one. */
  readonly oldPath: string | undefined;
  readonly status: FileStatus;
  readonly binary: boolean;
  /** 0 for a binary one. */
  readonly additions: number;
  readonly deletions: number;
  readonly hunks: readonly Hunk[];
}

export interface Hunk {
  readonly oldStart: number;
  readonly oldLines: number;
  readonly newStart: number;
  readonly newLines: number;
  /** What stands behind the second @@: where it is, as a function's first line. */
  readonly header: string;
  readonly lines: readonly DiffLine[];
}

export interface DiffLine {
  readonly kind: 'Add' | 'Remove' | 'Context';
  /** Without its first character and its line break. */
  readonly content: string;
}

type Entry = Pick<DiffFile, 'path' | 'oldPath' | 'status'>;
type Counts = Pick<DiffFile, 'binary' | 'additions' | 'deletions'>;

const statuses: Readonly<Record<string, FileStatus>> = {
  A: 'Added',
  M: 'Modified',
  D: 'Deleted',
  R: 'Renamed',
  T: 'TypeChanged',
};

/**
 * Reads what `git diff --raw --numstat --patch -z` prints: records that end in NUL, first of the one and then of the other, an empty
 * one, and the patch, whose sections are in the same order. Names are taken from the records alone, since they can be anything.
 *
 * @param maxBytes of the patch; it ends at the last line that fits.
 */
export function parseDiff(output: Buffer, isCut: boolean, maxBytes: number): Diff {
  const { entries, counts, patchAt } = readRecords(output);
  const patch = output.subarray(patchAt);
  const isLong = isCut || patch.length > maxBytes;
  const end = isLong ? patch.subarray(0, maxBytes).lastIndexOf(newline) + 1 : patch.length;
  const unified = patch.subarray(0, end).toString();
  const sections = readSections(unified);
  let next = 0;
  const files = entries.map((entry, index): DiffFile => {
    // What becomes another type of file is deleted and added.
    const own = sections.slice(next, (next += entry.status === 'TypeChanged' ? 2 : 1));
    return { ...entry, ...(counts[index] ?? noCounts), hunks: own.flat() };
  });
  return { unified, truncated: isLong, files };
}

const newline = 0x0a;
const noCounts: Counts = { binary: false, additions: 0, deletions: 0 };

function readRecords(output: Buffer): { entries: Entry[]; counts: Counts[]; patchAt: number } {
  const entries: Entry[] = [];
  const counts: Counts[] = [];
  let at = 0;
  const field = (): string => {
    const end = output.indexOf(0, at);
    const text = output.subarray(at, end < 0 ? output.length : end).toString();
    at = end < 0 ? output.length : end + 1;
    return text;
  };
  while (output[at] === colon) {
    const letter = field().split(' ')[4]?.charAt(0) ?? '';
    const first = field();
    const status = statuses[letter] ?? 'Modified';
    entries.push(
      status === 'Renamed' ? { path: field(), oldPath: first, status } : { path: first, oldPath: undefined, status },
    );
  }
  while (counts.length < entries.length && at < output.length) {
    const [added = '', deleted = '', name] = field().split('\t');
    // The names of a renamed one follow.
    if (name === '') at = output.indexOf(0, output.indexOf(0, at) + 1) + 1;
    const binary = added === '-';
    counts.push({ binary, additions: binary ? 0 : Number(added), deletions: binary ? 0 : Number(deleted) });
  }
  // The patch begins after one more NUL.
  return { entries, counts, patchAt: output[at] === 0 ? at + 1 : at };
}

const colon = 0x3a;
const hunkHead = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/;

/** The hunks of each section. Within a hunk lines are counted, so that nothing in a file can be taken for a head. */
function readSections(unified: string): Hunk[][] {
  const sections: Hunk[][] = [];
  let lines: DiffLine[] = [];
  let oldLeft = 0;
  let newLeft = 0;
  for (const line of unified.split('\n')) {
    if (oldLeft > 0 || newLeft > 0) {
      const kind = kindOf(line);
      if (kind === undefined) continue;
      if (kind !== 'Add') oldLeft -= 1;
      if (kind !== 'Remove') newLeft -= 1;
      lines.push({ kind, content: line.slice(1) });
    } else if (line.startsWith('diff --git ')) {
      sections.push([]);
    } else {
      const [, oldStart, oldLines = '1', newStart, newLines = '1', header = ''] = hunkHead.exec(line) ?? [];
      if (oldStart === undefined) continue;
      lines = [];
      oldLeft = Number(oldLines);
      newLeft = Number(newLines);
      sections.at(-1)?.push({
        oldStart: Number(oldStart),
        oldLines: oldLeft,
        newStart: Number(newStart),
        newLines: newLeft,
        header,
        lines,
      });
    }
  }
  return sections;
}

/** Undefined for `\ No newline at end of file`, and for the nothing behind the last line of a patch that was cut. */
function kindOf(line: string): DiffLine['kind'] | undefined {
  switch (line.charAt(0)) {
    case '+':
      return 'Add';
    case '-':
      return 'Remove';
    case ' ':
      return 'Context';
    default:
      return undefined;
  }
}
