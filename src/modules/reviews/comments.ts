import { AppError, invalidField } from '../../errors.js';
import { checkText } from '../../platform/text.js';
import type { Diff, DiffFile } from '../vcs/index.js';

export type Side = 'Left' | 'Right';

/** What somebody has said of a file in a review's diff. Only `resolvedAt` ever changes. */
export interface ReviewComment {
  readonly id: string;
  readonly reviewId: string;
  readonly taskId: string;
  readonly author: 'Agent' | 'Human';
  readonly filePath: string;
  readonly lineStart: number | undefined;
  readonly lineEnd: number | undefined;
  readonly side: Side;
  readonly body: string;
  readonly createdAt: Date;
  readonly resolvedAt: Date | undefined;
}

export const limits = {
  /** Of a body, and of a summary: the ledger tells them as they are. */
  textBytes: 16 * 1024,
  /** Of one request for changes. */
  comments: 100,
} as const;

type Optional<T> = T | null | undefined;

export interface CommentInput {
  readonly filePath: string;
  readonly side?: Optional<Side>;
  readonly body: string;
  readonly lineStart?: Optional<number>;
  readonly lineEnd?: Optional<number>;
}

/** A comment as far as it can be judged without the diff. */
export interface Remark {
  readonly filePath: string;
  readonly side: Side;
  readonly body: string;
  readonly lines: { readonly start: number; readonly end: number } | undefined;
}

/** `at` stands before the names of fields, such as `comments[1].`. Throws `invalid_request` naming the field. */
export function remarkOf({ filePath, side, body, lineStart, lineEnd }: CommentInput, at = ''): Remark {
  if (filePath === '') throw invalidField(`${at}file_path`, 'is required');
  checkText(`${at}file_path`, filePath);
  if (side === undefined || side === null) throw invalidField(`${at}side`, 'is required: Left, Right');
  if (body.trim() === '') throw invalidField(`${at}body`, 'is required');
  return { filePath, side, body: checkSaid(`${at}body`, body), lines: linesOf(lineStart, lineEnd, at) };
}

function linesOf(lineStart: Optional<number>, lineEnd: Optional<number>, at: string): Remark['lines'] {
  const [start, end] = [lineStart ?? undefined, lineEnd ?? undefined];
  if (start === undefined) {
    if (end === undefined) return undefined;
    throw invalidField(`${at}line_start`, 'is required with line_end');
  }
  if (start < 1) throw invalidField(`${at}line_start`, 'must be at least 1');
  if (end !== undefined && end < start) throw invalidField(`${at}line_end`, 'must not be less than line_start');
  return { start, end: end ?? start };
}

/** Of requested changes; an empty summary is none. */
export function summaryOf(text: Optional<string>): string | undefined {
  return text === undefined || text === null || text.trim() === '' ? undefined : checkSaid('summary', text);
}

/** Throws `too_large`, and `invalid_request` for what is no text. Answers what Postgres keeps of it. */
function checkSaid(field: string, text: string): string {
  checkText(field, text);
  const whole = Buffer.from(text).toString();
  const bytes = Buffer.byteLength(whole);
  if (bytes <= limits.textBytes) return whole;
  throw new AppError('too_large', `${field}: has ${bytes} bytes; ${limits.textBytes} are allowed`, {
    details: { field, bytes, max_bytes: limits.textBytes },
  });
}

/** The file that a remark is on. Throws `invalid_request` when the diff does not have it. */
export function fileOf({ files }: Diff, { filePath }: Remark, at: string): DiffFile {
  const file = files.find(({ path }) => path === filePath);
  if (file === undefined) throw invalidField(`${at}file_path`, 'is no file of the diff of this review');
  return file;
}

/** What the file is called on that side; undefined when it is not there. */
export function nameOn({ path, oldPath, status }: DiffFile, side: Side): string | undefined {
  if (side === 'Left') return status === 'Added' ? undefined : (oldPath ?? path);
  return status === 'Deleted' ? undefined : path;
}

/** How far the hunks show that a side's lines go. */
export function linesInHunks({ hunks }: DiffFile, side: Side): number {
  return Math.max(
    0,
    ...hunks.map(({ oldStart, oldLines, newStart, newLines }) =>
      side === 'Left' ? oldStart + oldLines - 1 : newStart + newLines - 1,
    ),
  );
}

/** For a remark on lines that there are not. */
export function noSuchLines(file: DiffFile, { side, lines }: Remark, count: number, at: string): AppError {
  const field = `${at}${lines !== undefined && lines.start > count ? 'line_start' : 'line_end'}`;
  const why = file.binary
    ? 'a binary file has no lines'
    : `the file has ${count === 1 ? '1 line' : `${count} lines`} on the ${side.toLowerCase()} side`;
  return invalidField(field, why, { lines: count });
}
