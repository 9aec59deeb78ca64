import { AppError, invalidField } from '../../errors.js';
import { checkText } from '../../platform/text.js';

/** What somebody has learned on a task. */
export interface Learning {
  readonly id: string;
  /** The task that has it. */
  readonly taskId: string;
  readonly content: string;
  /** The task that it was learned on first, where it has come up from below. */
  readonly sourceTaskId: string | undefined;
  /** When this task got it. */
  readonly createdAt: Date;
}

/** What was learned on a task and above it, each oldest first. */
export interface Inherited {
  readonly own: readonly Learning[];
  /** Of the parent, where that is no milestone. */
  readonly parent: readonly Learning[];
  readonly milestone: readonly Learning[];
}

export const limits = {
  /** The ledger tells contents as they are, so that they are no place for files. */
  contentBytes: 8 * 1024,
  /** So many of the newest of a task are inherited. */
  inherited: 100,
} as const;

/** Throws `invalid_request` or `too_large` naming the field. */
export function checkContent(text: string): string {
  if (text.trim() === '') throw invalidField('content', 'is required');
  checkText('content', text);
  // What Postgres would be given for halves of surrogate pairs; the answer tells the same.
  const whole = Buffer.from(text).toString();
  const bytes = Buffer.byteLength(whole);
  if (bytes <= limits.contentBytes) return whole;
  throw new AppError('too_large', `content: has ${bytes} bytes; ${limits.contentBytes} are allowed`, {
    details: { field: 'content', bytes, max_bytes: limits.contentBytes },
  });
}
