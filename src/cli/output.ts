import { exitCodes } from './errors.js';
import { widthOf } from './width.js';

/** Where commands write to. Nothing else in here touches stdout or stderr. */
export interface Output {
  /** A whole line, or several, without the last line break. */
  line(text?: string): void;
  /** Text as it is. */
  text(text: string): void;
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly style: Style;
}

type Paint = (text: string) => string;

/** Colours, where they are wanted. */
export interface Style {
  readonly bold: Paint;
  readonly dim: Paint;
  readonly red: Paint;
  readonly green: Paint;
  readonly yellow: Paint;
  readonly cyan: Paint;
}

export const stdout = createOutput(process.stdout);
export const stderr = createOutput(process.stderr);

function createOutput(stream: NodeJS.WriteStream): Output {
  const text = (piece: string): void => {
    watchForReader(stream);
    stream.write(piece);
  };
  return {
    text,
    line: (line = '') => text(`${line}\n`),
    isTerminal: stream.isTTY,
    get columns() {
      return stream.columns > 0 ? stream.columns : 80;
    },
    style: createStyle(stream.isTTY && (process.env['NO_COLOR'] ?? '') === '' && process.env['TERM'] !== 'dumb'),
  };
}

let endsWithReader = true;

/** For commands that have more to do than to print: they go on when nobody reads any more. */
export function outliveReader(): void {
  endsWithReader = false;
}

/** A reader that leaves early, as `head` does, has seen enough; that is no failure. A full disk is one. */
function watchForReader(stream: NodeJS.WriteStream): void {
  if (stream.listenerCount('error') > 0) return;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // What cannot be said is no reason to leave off.
    if (stream === process.stderr) return;
    if (error.code !== 'EPIPE') fail(error);
    if (endsWithReader) process.exit(exitCodes.ok);
  });
}

let hasFailed = false;

/** Says once that stdout cannot be written to, and has the process tell of it when it ends, be that now or later. */
function fail(error: Error): void {
  if (hasFailed) return;
  hasFailed = true;
  stderr.line(`muster: cannot write to stdout: ${error.message}`);
  process.once('exit', (code) => (process.exitCode = code === exitCodes.ok ? exitCodes.failed : code));
}

function createStyle(coloured: boolean): Style {
  const paint =
    (code: number, end = 39): Paint =>
    (text) =>
      coloured ? `\u001b[${code}m${text}\u001b[${end}m` : text;
  return {
    bold: paint(1, 22),
    dim: paint(2, 22),
    red: paint(31),
    green: paint(32),
    yellow: paint(33),
    cyan: paint(36),
  };
}

/** Rows as lines of aligned columns. Widths are of what a person sees, so cells may be coloured. A tab would end where it likes. */
export function alignColumns(rows: readonly (readonly string[])[], gap = '  '): string[] {
  const cells = rows.map((row) => row.map(sized));
  const widths: number[] = [];
  for (const row of cells) {
    row.forEach(({ width }, column) => (widths[column] = Math.max(widths[column] ?? 0, width)));
  }
  return cells.map((row) =>
    row
      .map(({ text, width }, column) => text + ' '.repeat((widths[column] ?? 0) - width))
      .join(gap)
      .trimEnd(),
  );
}

function sized(cell: string): { readonly text: string; readonly width: number } {
  const text = cell.replaceAll('\t', ' ');
  return { text, width: visibleWidth(text) };
}

function visibleWidth(text: string): number {
  // oxlint-disable-next-line no-control-regex -- that is what a colour begins with
  return widthOf(text.replaceAll(/\u001b\[\d+m/g, ''));
}

/**
 * What others wrote, without the control characters that could move the cursor or colour a terminal, and without those that have a
 * terminal show text in another order than it is read in by a compiler, or by git.
 */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- those are what is taken out
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\p{Bidi_Control}]/gu, '\uFFFD');
}

/** Milliseconds for people: `0.35 s`, `12 s`, `3 min 20 s`, `2 h 5 min`. */
export function durationText(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(ms < 1000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
