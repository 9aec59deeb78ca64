import type { Value } from '@bufbuild/protobuf/wkt';
import { AppError, messageOf } from '../errors.js';
import { type Json, jsonDepth } from '../platform/json.js';
import { valueOf } from '../platform/rpc/codec.js';

/** A JSON value ready to be sent. */
export interface SentValue {
  readonly value: Value | undefined;
  /** Characters of its text; in protobuf it takes up to six times as many bytes. */
  readonly size: number;
}

const nothing: SentValue = { value: undefined, size: 0 };

/** The server's own limits are tighter where it has some; these keep one bad value from breaking a whole stream. */
const maxSize = 4 * 1024 * 1024;
const maxDepth = 128;

/**
 * Anything as JSON.stringify sees it: members without a value fall away, dates become strings. `undefined` is null.
 *
 * @throws AppError `invalid_request` or `too_large` when it cannot be sent.
 */
export function sentValue(anything: unknown): SentValue {
  if (anything === undefined || anything === null) return nothing;
  if (typeof anything === 'boolean') return { value: valueOf(anything), size: 5 };
  const text = textOf(anything);
  if (text.length > maxSize) {
    throw new AppError('too_large', `has ${text.length} characters of JSON; at most ${maxSize} can be sent`);
  }
  const json = JSON.parse(text) as Json;
  if (jsonDepth(json, maxDepth + 1) > maxDepth) {
    throw new AppError('invalid_request', `may be ${maxDepth} levels deep`);
  }
  return { value: valueOf(json), size: text.length };
}

function textOf(anything: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(anything) as string | undefined;
  } catch (error) {
    throw new AppError('invalid_request', `is no JSON: ${messageOf(error)}`, { cause: error });
  }
  if (text === undefined) throw new AppError('invalid_request', `is no JSON: a ${typeof anything}`);
  return text;
}
