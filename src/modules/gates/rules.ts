import { AppError, invalidField } from '../../errors.js';
import { checkText } from '../../platform/text.js';

/** What a gate is, wherever it is kept. */
export interface GateSpec {
  /** Unique within its scope. */
  readonly name: string;
  /** Run by `/bin/sh -c`. */
  readonly command: string;
  /** How long one attempt may take. */
  readonly timeoutSecs: number;
  /** The last attempt that is allowed, counting failures since the last pass. */
  readonly maxRetries: number;
  /** How long to wait after an attempt that is pending. */
  readonly pollIntervalSecs: number;
  /** How long attempts may be pending, all in all. */
  readonly maxPendingSecs: number;
}

/** As it comes from outside; what is left out has a default. */
export interface GateInput {
  readonly name: string;
  readonly command: string;
  readonly timeoutSecs?: number | null | undefined;
  readonly maxRetries?: number | null | undefined;
  readonly pollIntervalSecs?: number | null | undefined;
  readonly maxPendingSecs?: number | null | undefined;
}

/** How many gates a scope may have from one source. */
export const maxGates = 50;

/** What each number of a gate may be. */
export const gateNumbers = {
  timeoutSecs: { field: 'timeout_secs', min: 1, max: 86_400, default: 300 },
  maxRetries: { field: 'max_retries', min: 0, max: 100, default: 3 },
  pollIntervalSecs: { field: 'poll_interval_secs', min: 1, max: 86_400, default: 30 },
  maxPendingSecs: { field: 'max_pending_secs', min: 1, max: 2_592_000, default: 86_400 },
} as const;

const maxCommandBytes = 16 * 1024;
const names = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/**
 * Throws `invalid_request` or `too_large` naming the field.
 *
 * @param at stands before the name of the field, such as `gate[1].`
 */
export function gateSpec(input: GateInput, at = ''): GateSpec {
  const number = (key: keyof typeof gateNumbers): number => {
    const { field, min, max, default: otherwise } = gateNumbers[key];
    const value = input[key] ?? otherwise;
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw invalidField(`${at}${field}`, `must be between ${min} and ${max}`);
  };
  return {
    name: checkName(`${at}name`, input.name),
    command: checkCommand(`${at}command`, input.command),
    timeoutSecs: number('timeoutSecs'),
    maxRetries: number('maxRetries'),
    pollIntervalSecs: number('pollIntervalSecs'),
    maxPendingSecs: number('maxPendingSecs'),
  };
}

function checkName(field: string, name: string): string {
  if (name === '') throw invalidField(field, 'is required');
  if (names.test(name)) return name;
  throw invalidField(field, 'must be 1 to 64 letters, digits or _ . - and begin with a letter or a digit');
}

function checkCommand(field: string, command: string): string {
  if (command.trim() === '') throw invalidField(field, 'is required');
  checkText(field, command);
  // What Postgres would be given for halves of surrogate pairs; the answer tells the same.
  const whole = Buffer.from(command).toString();
  const bytes = Buffer.byteLength(whole);
  if (bytes <= maxCommandBytes) return whole;
  throw new AppError('too_large', `${field}: has ${bytes} bytes; ${maxCommandBytes} are allowed`, {
    details: { field, bytes, max_bytes: maxCommandBytes },
  });
}
