import { parseArgs } from 'node:util';
import { AppError } from '../errors.js';

/**
 * One setting: an environment variable and a flag of the same meaning, the flag winning. Help and documentation are
 * printed from these.
 */
export interface Setting<T> {
  readonly env: string;
  readonly flag: string;
  /** How the value is written, such as `PORT`. */
  readonly value: string;
  readonly fallback: string;
  readonly help: string;
  /** Throws an Error that says what the value must be. */
  readonly parse: (text: string) => T;
}

export type Settings = Readonly<Record<string, Setting<unknown>>>;
export type Values<S extends Settings> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** Where values come from. */
export interface Sources {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Reads all settings. Throws `invalid_request` naming the flag or variable of the first bad value. */
export function readSettings<S extends Settings>(settings: S, { flags, env }: Sources): Values<S> {
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(settings)) {
    const flag = flags[setting.flag];
    const fromEnv = env[setting.env];
    // An empty variable counts as unset, as in a compose file's `MUSTER_X=`.
    const text = typeof flag === 'string' ? flag : fromEnv !== undefined && fromEnv !== '' ? fromEnv : setting.fallback;
    try {
      values[name] = setting.parse(text);
    } catch (error) {
      const named = typeof flag === 'string' ? `--${setting.flag}` : setting.env;
      throw new AppError('invalid_request', `${named}: '${text}' ${(error as Error).message}`, { cause: error });
    }
  }
  return values as Values<S>;
}

/** Splits a command line. Throws `invalid_request` for a flag that there is not. */
export function readFlags(args: readonly string[], names: readonly string[], switches: readonly string[] = []) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
        ...Object.fromEntries(switches.map((name) => [name, { type: 'boolean' as const }])),
      },
    });
  } catch (error) {
    throw new AppError('invalid_request', (error as Error).message, { cause: error });
  }
}

export const parse = {
  text: (text: string): string => text,
  optionalText: (text: string): string | undefined => (text === '' ? undefined : text),
  optionalUrl: (text: string): string | undefined => {
    if (text === '') return undefined;
    if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new Error('is no http or https URL');
    return text;
  },
  /** `a=x,b=y`, where what stands behind `=` is one of `words`. */
  mapTo:
    <T extends string>(words: readonly T[]) =>
    (text: string): ReadonlyMap<string, T> =>
      new Map(
        parse.list(text).map((pair) => {
          const cut = pair.lastIndexOf('=');
          if (cut < 1) throw new Error('is no list such as a=x,b=y');
          return [pair.slice(0, cut).trim(), parse.oneOf(words)(pair.slice(cut + 1).trim())] as const;
        }),
      ),
  list: (text: string): readonly string[] =>
    text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  integer:
    (min: number, max: number) =>
    (text: string): number => {
      const value = Number(text);
      if (!/^-?\d+$/.test(text) || value < min || value > max)
        throw new Error(`is no whole number from ${min} to ${max}`);
      return value;
    },
  integerOrOff:
    (min: number, max: number) =>
    (text: string): number | undefined =>
      text === 'off' ? undefined : parse.integer(min, max)(text),
  oneOf:
    <T extends string>(words: readonly T[]) =>
    (text: string): T => {
      const word = words.find((candidate) => candidate === text);
      if (word === undefined) throw new Error(`is none of ${words.join(', ')}`);
      return word;
    },
  onOff: (text: string): boolean => {
    if (text !== 'on' && text !== 'off') throw new Error('is neither on nor off');
    return text === 'on';
  },
  /** `500ms`, `30s`, `5m`, `12h`, `7d`: milliseconds. */
  duration: (text: string): number => {
    const parts = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text);
    const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[parts?.[2] ?? ''];
    if (parts === null || unit === undefined) throw new Error('is no duration such as 500ms, 30s, 5m, 12h or 7d');
    return Number(parts[1]) * unit;
  },
  /** The same for what must not be nothing. */
  positive:
    (parseNumber: (text: string) => number) =>
    (text: string): number => {
      const value = parseNumber(text);
      if (value === 0) throw new Error('must be more than nothing');
      return value;
    },
  /** `600/60s`: so many in each window of that length, which is from a second to 366 days. */
  rateOrOff: (text: string): { readonly limit: number; readonly windowMs: number } | undefined => {
    if (text === 'off') return undefined;
    const [, limit = '', window = ''] = /^(\d{1,9})\/(.+)$/.exec(text) ?? [];
    const windowMs = /^\d{1,9}(?:ms|s|m|h|d)$/.test(window) ? parse.duration(window) : 0;
    // The end of a window has to be a time that Postgres can keep.
    if (Number(limit) < 1 || windowMs < 1000 || windowMs > 366 * 86_400_000)
      throw new Error('is no rate such as 600/60s, in windows from 1s to 366d');
    return { limit: Number(limit), windowMs };
  },
  durationOrOff: (text: string): number | undefined => (text === 'off' ? undefined : parse.duration(text)),
  /** `65536`, `64KiB`, `4MiB`: bytes. */
  bytes: (text: string): number => {
    const parts = /^(\d{1,12})(KiB|MiB|GiB)?$/.exec(text);
    const unit = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }[parts?.[2] ?? ''];
    if (parts === null || unit === undefined) throw new Error('is no size such as 65536, 64KiB or 4MiB');
    return Number(parts[1]) * unit;
  },
} as const;
