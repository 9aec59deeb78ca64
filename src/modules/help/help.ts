import { AppError, invalidField } from '../../errors.js';
import { isId } from '../../platform/ids.js';
import { checkText } from '../../platform/text.js';

export type Category = 'Clarification' | 'Decision' | 'TechnicalBlocker' | 'Unexpected';
export const categories: readonly Category[] = ['Clarification', 'Decision', 'TechnicalBlocker', 'Unexpected'];

/** Pending > Responded > Resolved; Cancelled from either of the first two. docs/help.md draws it. */
export type HelpStatus = 'Pending' | 'Responded' | 'Resolved' | 'Cancelled';

/** The statuses of a task in which its doer may ask, and to which it goes back. */
export type FromStatus = 'Pending' | 'InProgress' | 'InReview';

/** What the doer of a task asks a human. */
export interface HelpRequest {
  readonly id: string;
  readonly taskId: string;
  readonly fromStatus: FromStatus;
  readonly category: Category;
  readonly reason: string;
  readonly suggestedOptions: readonly string[];
  readonly status: HelpStatus;
  readonly response: string | undefined;
  /** The index of a suggested option. */
  readonly chosenOption: number | undefined;
  readonly createdAt: Date;
  readonly respondedAt: Date | undefined;
  readonly resumedAt: Date | undefined;
  /** When it is answered by its default, unless it was answered before. */
  readonly deadlineAt: Date | undefined;
  /** There where there is a deadline. */
  readonly defaultResponse: string | undefined;
  readonly defaultOption: number | undefined;
  readonly answeredByDefault: boolean;
}

export const limits = {
  /** The ledger tells reasons and answers as they are. */
  textBytes: 8 * 1024,
  options: 20,
  optionBytes: 1024,
  deadlineSec: 30 * 24 * 60 * 60,
} as const;

type Optional<T> = T | null | undefined;

export interface AskInput {
  readonly taskId: string;
  readonly category?: Optional<Category>;
  readonly reason: string;
  readonly suggestedOptions: readonly string[];
  readonly deadlineSec?: Optional<number>;
  readonly defaultResponse?: Optional<string>;
  readonly defaultOption?: Optional<number>;
}

export interface Answer {
  readonly response: string;
  readonly chosenOption: number | undefined;
}

/** What is asked, as far as it can be judged without looking at the task. */
export interface Question {
  readonly taskId: string;
  readonly category: Category;
  readonly reason: string;
  readonly suggestedOptions: readonly string[];
  readonly deadline: { readonly sec: number; readonly answer: Answer } | undefined;
}

/** Throws `invalid_request` or `too_large` naming the field. */
export function questionOf(input: AskInput): Question {
  const { taskId, category, suggestedOptions } = input;
  if (taskId === '') throw invalidField('task_id', 'is required');
  if (category === undefined || category === null) {
    throw invalidField('category', `is required: ${categories.join(', ')}`);
  }
  const reason = checkSize('reason', input.reason, limits.textBytes);
  if (suggestedOptions.length > limits.options) {
    throw invalidField('suggested_options', `may have ${limits.options} options`);
  }
  const options = suggestedOptions.map((text, index) =>
    checkSize(`suggested_options[${index}]`, text, limits.optionBytes),
  );
  return { taskId, category, reason, suggestedOptions: options, deadline: deadlineOf(input, options) };
}

function deadlineOf(
  { deadlineSec: sec, defaultResponse: response, defaultOption: option }: AskInput,
  options: readonly string[],
): Question['deadline'] {
  const hasDefault = isGiven(response) || isGiven(option);
  if (!isGiven(sec)) {
    if (hasDefault) throw invalidField('deadline_sec', 'is required with a default answer');
    return undefined;
  }
  if (!Number.isInteger(sec) || sec < 1 || sec > limits.deadlineSec) {
    throw invalidField('deadline_sec', `must be between 1 and ${limits.deadlineSec}`);
  }
  if (!hasDefault) throw invalidField('default_response', 'is required with deadline_sec, or a default_option');
  return { sec, answer: checkAnswer({ response, option }, options, ['default_response', 'default_option']) };
}

/**
 * An answer that fits the options. Throws `invalid_request` or `too_large` naming the field. Where only an option is chosen, its text is the
 * response.
 */
export function checkAnswer(
  { response, option }: { readonly response?: Optional<string>; readonly option?: Optional<number> },
  options: readonly string[],
  [responseField, optionField]: readonly [response: string, option: string] = ['response', 'chosen_option'],
): Answer {
  const chosen = isGiven(option) ? options[option] : undefined;
  if (isGiven(option) && chosen === undefined) {
    const why = options.length === 0 ? 'no options were suggested' : `must be between 0 and ${options.length - 1}`;
    throw invalidField(optionField, why);
  }
  if (!isGiven(response) && chosen === undefined) {
    throw invalidField(responseField, `is required, unless there is a ${optionField}`);
  }
  const text = isGiven(response) ? checkSize(responseField, response, limits.textBytes) : (chosen ?? '');
  return { response: text, chosenOption: option ?? undefined };
}

/** An optional field that is empty is as good as none. */
function isGiven<T>(value: Optional<T>): value is T {
  return value !== undefined && value !== null && value !== '';
}

function checkSize(field: string, text: string, maxBytes: number): string {
  if (text.trim() === '') throw invalidField(field, 'is required');
  checkText(field, text);
  // What Postgres would be given for halves of surrogate pairs; the answer tells the same.
  const whole = Buffer.from(text).toString();
  const bytes = Buffer.byteLength(whole);
  if (bytes <= maxBytes) return whole;
  throw new AppError('too_large', `${field}: has ${bytes} bytes; ${maxBytes} are allowed`, {
    details: { field, bytes, max_bytes: maxBytes },
  });
}

export function isHelpId(text: string): boolean {
  return isId('help', text);
}

export function helpNotFound(id: string): AppError {
  return new AppError('not_found', `There is no request for help ${id}.`);
}

/** Somebody asks while another request of the task is open. */
export function alreadyAsked({ id, taskId, status }: HelpRequest): AppError {
  return new AppError('conflict', `${taskId} waits already: ${id} is ${status}.`, { details: { id, status } });
}

/** Somebody answers what is not Pending. */
export function notPending({ id, status }: HelpRequest): AppError {
  return new AppError('invalid_state', `${id} is ${status} and cannot be answered.`, {
    details: { from: status, to: 'Responded', allowed: status === 'Responded' ? ['Resolved', 'Cancelled'] : [] },
  });
}

/** Somebody resumes a task that nobody has answered yet. */
export function notAnswered({ id, taskId, fromStatus }: HelpRequest): AppError {
  return new AppError('invalid_state', `${taskId} cannot be resumed: nobody has answered ${id}.`, {
    details: {
      from: 'AwaitingHuman',
      to: fromStatus,
      allowed: ['Completed', 'Cancelled'],
      help_request: { id, status: 'Pending' },
    },
  });
}
