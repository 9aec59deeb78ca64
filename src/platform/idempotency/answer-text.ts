import { JsonText, setOwn } from '../json.js';

/**
 * Answers as text, and back without a difference that any way out could tell. They are domain values (rpc/codec.ts): what JSON has
 * no word for goes as `{"$": [kind, text]}`, and an object that has a `$` of its own as such a pair, too.
 */
export function textOfAnswer(answer: object): string {
  return JSON.stringify(marked(answer));
}

export function answerOfText(text: string): object {
  return unmarked(JSON.parse(text)) as object;
}

function marked(value: unknown): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      if (Object.is(value, -0)) return mark('number', '-0');
      return Number.isFinite(value) ? value : mark('number', String(value));
    case 'object':
      if (value === null) return null;
      if (value instanceof Date) return mark('time', value.toISOString());
      if (value instanceof JsonText) return mark('json', value.text);
      if (value instanceof Uint8Array) return mark('bytes', Buffer.from(value).toString('base64'));
      if (Array.isArray(value)) return value.map(marked);
      return markedObject(value);
    default:
      throw new TypeError(`an answer has no room for a ${typeof value}`);
  }
}

function markedObject(value: object): unknown {
  const members = {};
  // What is undefined is as good as not there.
  for (const [key, member] of Object.entries(value)) if (member !== undefined) setOwn(members, key, marked(member));
  return Object.hasOwn(members, '$') ? mark('object', members) : members;
}

function mark(kind: string, content: unknown): object {
  return { $: [kind, content] };
}

function unmarked(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(unmarked);
  if (!Object.hasOwn(value, '$')) return unmarkedObject(value);
  const [kind, content] = (value as { readonly $: readonly [kind: string, content: string | object] }).$;
  if (typeof content === 'object') return unmarkedObject(content);
  switch (kind) {
    case 'number':
      return Number(content);
    case 'time':
      return new Date(content);
    case 'json':
      return new JsonText(content);
    case 'bytes':
      return Buffer.from(content, 'base64');
    default:
      throw new TypeError(`a kept answer has a '${kind}'`);
  }
}

function unmarkedObject(value: object): object {
  const members = {};
  for (const [key, member] of Object.entries(value)) setOwn(members, key, unmarked(member));
  return members;
}
