import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { invalidField } from '../../errors.js';
import { answerOfText, textOfAnswer } from './answer-text.js';

/** As callers send it. */
export const keyHeader = 'Idempotency-Key';

/** A call under a key. */
export interface KeyedRequest {
  readonly key: string;
  /** Keys of different callers have nothing to do with each other. */
  readonly principal: { readonly kind: string; readonly id: string };
  /** `/muster.v1.JobService/CreateJob` */
  readonly method: string;
  /** The method's input as a domain value (rpc/codec.ts). */
  readonly input: object;
}

/** What is known of such a call, and all that may be stored of it. */
export interface Identified {
  /** The caller and the key. */
  readonly id: Buffer;
  /** What is asked for. */
  readonly requestHash: Buffer;
  /** The answer, readable for nobody who has not got the key. */
  seal(answer: object): Buffer;
  open(sealed: Buffer): object;
}

/** Throws `invalid_request` for a key that cannot be one. */
export function identify({ key, principal, method, input }: KeyedRequest): Identified {
  if (!/^[\x20-\x7e]{1,255}$/.test(key)) throw invalidField(keyHeader, 'must be 1 to 255 printable ASCII characters');
  const owner = JSON.stringify([principal.kind, principal.id, key]);
  let secret: Buffer | undefined;
  const secretOf = (): Buffer => (secret ??= Buffer.from(hkdfSync('sha256', owner, '', 'muster answer', 32)));
  return {
    id: createHash('sha256').update(owner).digest(),
    requestHash: hashOf(method, input),
    seal(answer) {
      const iv = randomBytes(ivBytes);
      const cipher = createCipheriv(algorithm, secretOf(), iv);
      const body = Buffer.concat([cipher.update(textOfAnswer(answer), 'utf8'), cipher.final()]);
      return Buffer.concat([iv, cipher.getAuthTag(), body]);
    },
    open(sealed) {
      const decipher = createDecipheriv(algorithm, secretOf(), sealed.subarray(0, ivBytes));
      decipher.setAuthTag(sealed.subarray(ivBytes, ivBytes + tagBytes));
      const text = decipher.update(sealed.subarray(ivBytes + tagBytes), undefined, 'utf8') + decipher.final('utf8');
      return answerOfText(text);
    },
  };
}

const algorithm = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;

/** Of a method and its input; the order of an object's members does not count. */
export function hashOf(method: string, input: object): Buffer {
  const hash = createHash('sha256');
  let text = `${method}\n`;
  // Not by recursion: nobody has looked yet how deep the input is.
  const left: (Value | Word)[] = [{ value: input }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    if ('word' in next) text += next.word;
    else if (isLeaf(next.value)) text += leafText(next.value);
    else text += open(next.value, left);
    if (text.length > chunk) {
      hash.update(text);
      text = '';
    }
  }
  return hash.update(text).digest();
}

const chunk = 64 * 1024;

interface Value {
  readonly value: unknown;
}
interface Word {
  readonly word: string;
}

function isLeaf(value: unknown): value is string | number | boolean | null | undefined | Date | Uint8Array {
  return typeof value !== 'object' || value === null || value instanceof Date || value instanceof Uint8Array;
}

/** No two kinds of value begin with the same character, and each tells where it ends. */
function leafText(value: string | number | boolean | null | undefined | Date | Uint8Array): string {
  if (value instanceof Date) return `t${value.getTime()},`;
  if (value instanceof Uint8Array) return `b${Buffer.from(value).toString('base64')},`;
  if (typeof value === 'string') return JSON.stringify(value);
  return typeof value === 'number' ? `#${Object.is(value, -0) ? '-0' : value},` : `=${String(value)},`;
}

/** Puts what is inside before all that is left, and answers what it begins with. */
function open(value: object, left: (Value | Word)[]): string {
  if (Array.isArray(value)) {
    left.push({ word: ']' });
    for (const item of (value as unknown[]).toReversed()) left.push({ value: item });
    return '[';
  }
  left.push({ word: '}' });
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([a], [b]) => (a < b ? 1 : -1));
  for (const [name, member] of members) left.push({ value: member }, { word: JSON.stringify(name) });
  return '{';
}
