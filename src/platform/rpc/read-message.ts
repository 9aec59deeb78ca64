import {
  type DescField,
  type DescMessage,
  fromBinary,
  fromJson,
  fromJsonString,
  type JsonObject,
  type Message,
} from '@bufbuild/protobuf';
import { AppError, invalidField, messageOf } from '../../errors.js';
import { enumNamesCheckOf } from './enum-names.js';
import { binaryReadOptions, jsonReadOptions } from './limits.js';

export type Format = 'json' | 'proto';

/** Reads a message as it came. Throws `invalid_request`, which names the field where it is one that is wrong. */
export function readMessage(desc: DescMessage, format: Format, bytes: Uint8Array): Message {
  if (format === 'json') return readJson(desc, textOf(bytes));
  try {
    return fromBinary(desc, bytes, binaryReadOptions);
  } catch (error) {
    throw unreadable(error);
  }
}

function readJson(desc: DescMessage, text: string): Message {
  let message: Message;
  try {
    message = fromJsonString(desc, text, jsonReadOptions);
  } catch (error) {
    throw wrongField(desc, parsed(text), '') ?? unreadable(error);
  }
  enumNamesCheckOf(desc)?.(text);
  return message;
}

function unreadable(error: unknown): AppError {
  return new AppError('invalid_request', `The message cannot be decoded: ${messageOf(error)}`);
}

/** Without the byte order mark that some clients begin with. */
function textOf(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Of JSON that is no such message: the first field that cannot be read by itself, and why. protobuf-es names some of them, without the
 * way there, and of others, such as times, only the type. `path` leads to the message.
 */
function wrongField(desc: DescMessage, json: unknown, path: string): AppError | undefined {
  // In JSON a time is no object, and what a Value has in it is no field. A longer path would not be told as a whole.
  if (!isObject(json) || desc.file.proto.package === 'google.protobuf' || path.length > 500) return undefined;
  for (const field of desc.fields) {
    const key = [field.jsonName, field.name].find((each) => Object.hasOwn(json, each));
    if (key === undefined) continue;
    const value = json[key];
    const reason = faultOf(field, value);
    if (reason === undefined) continue;
    const name = path === '' ? field.name : `${path}.${field.name}`;
    return wrongWithin(field, value, name) ?? invalidField(name, reason);
  }
  return undefined;
}

/** What it is within a field that cannot be read, where it is a list or a message. */
function wrongWithin(field: DescField, value: unknown, name: string): AppError | undefined {
  if (field.fieldKind !== 'list') return field.message && wrongField(field.message, value, name);
  if (!Array.isArray(value) || value.length === 0) return undefined;
  const index = firstWrong(field, value);
  const item: unknown = value[index];
  const itemName = `${name}[${index}]`;
  const within = field.message && wrongField(field.message, item, itemName);
  return within ?? invalidField(itemName, faultOf(field, [item]) ?? 'cannot be read');
}

/** By halves: one at a time would take many times as long as the message itself. */
function firstWrong(field: DescField, items: readonly unknown[]): number {
  let first = 0;
  let end = items.length;
  while (end - first > 1) {
    const middle = Math.floor((first + end) / 2);
    if (faultOf(field, items.slice(first, middle)) === undefined) first = middle;
    else end = middle;
  }
  return first;
}

/** Why a field cannot have this value, in the words of protobuf-es but for those that say where. */
function faultOf(field: DescField, value: unknown): string | undefined {
  try {
    fromJson(field.parent, { [field.jsonName]: value } as JsonObject, jsonReadOptions);
    return undefined;
  } catch (error) {
    return messageOf(error)
      .replace(/^cannot decode .+? from JSON:? /, '')
      .replace(/^list item #\d+: /, '');
  }
}

function isObject(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === 'object' && json !== null && !Array.isArray(json);
}
