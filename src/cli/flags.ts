import { parseArgs } from 'node:util';
import { messageOf } from '../errors.js';
import type { Setting } from '../platform/config.js';
import { shorten } from '../platform/text.js';
import { UsageError } from './errors.js';

export type Env = Readonly<Record<string, string | undefined>>;

/** One flag of a command. Help is printed from the same. */
export interface Flag<T> {
  readonly flag: string;
  /** How its value is written, such as `FILE`; undefined for a switch. */
  readonly value: string | undefined;
  readonly help: string;
  readonly env?: string;
  readonly fallback?: string;
  /** Reads what was given, in order. Throws UsageError naming the flag. */
  readonly read: (given: readonly string[], env: Env) => T;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;
export type FlagValues<F extends Flags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

export interface FlagSpec<T> {
  readonly flag: string;
  readonly value: string;
  readonly help: string;
  /** Throws an Error that says what the value must be. */
  readonly parse: (text: string) => T;
}

/** May be given once. */
export function optional<T>(spec: FlagSpec<T>): Flag<T | undefined> {
  return { ...spec, read: (given) => (single(spec, given) === undefined ? undefined : parseOne(spec, given[0] ?? '')) };
}

/** Has to be given once. */
export function required<T>(spec: FlagSpec<T>): Flag<T> {
  return {
    ...spec,
    read(given) {
      const text = single(spec, given);
      if (text === undefined) throw new UsageError(`--${spec.flag} ${spec.value} is required`);
      return parseOne(spec, text);
    },
  };
}

/** Given by flag, environment variable, or else its default; an empty variable counts as unset. */
export function withDefault<T>(spec: FlagSpec<T> & { readonly fallback: string; readonly env?: string }): Flag<T> {
  return {
    ...spec,
    read(given, env) {
      const text = single(spec, given);
      if (text !== undefined) return parseOne(spec, text);
      const fromEnv = spec.env === undefined ? '' : (env[spec.env] ?? '');
      return fromEnv === '' ? parseOne(spec, spec.fallback) : parseOne(spec, fromEnv, spec.env);
    },
  };
}

/** May be given again and again, at least `least` times. */
export function repeated<T>(spec: FlagSpec<T>, least = 0): Flag<readonly T[]> {
  return {
    ...spec,
    read(given) {
      if (given.length < least) throw new UsageError(`--${spec.flag} ${spec.value} is required`);
      return given.map((text) => parseOne(spec, text));
    },
  };
}

export function toggle(flag: string, help: string): Flag<boolean> {
  return { flag, help, value: undefined, read: (given) => given.length > 0 };
}

/** The server's settings as flags; their values are left to readSettings. */
export function settingFlags(settings: Readonly<Record<string, Setting<unknown>>>): Flags {
  return Object.fromEntries(
    Object.entries(settings).map(([name, { flag, value, help, env, fallback }]) => [
      name,
      { flag, value, help, env, fallback, read: (given: readonly string[]) => single({ flag }, given) },
    ]),
  );
}

function single({ flag }: { readonly flag: string }, given: readonly string[]): string | undefined {
  if (given.length > 1) throw new UsageError(`--${flag} may be given only once`);
  return given[0];
}

function parseOne<T>({ flag, parse }: FlagSpec<T>, text: string, name = `--${flag}`): T {
  try {
    return parse(text);
  } catch (error) {
    throw new UsageError(`${name}: '${shorten(text, 60)}' ${messageOf(error)}`, error);
  }
}

/**
 * Splits a command line into flags and the arguments named in `positionals`; a name in brackets may be left out. Throws
 * UsageError.
 */
export function readCommandLine<F extends Flags>(
  args: readonly string[],
  flags: F,
  positionals: readonly string[],
  env: Env,
): { readonly values: FlagValues<F>; readonly positionals: readonly string[] } {
  const options = Object.fromEntries(
    Object.values(flags).map(({ flag, value }) => [
      flag,
      { type: value === undefined ? ('boolean' as const) : ('string' as const), multiple: true as const },
    ]),
  );
  const parsed = parse(args, options);
  const missing = positionals.find((name, index) => !name.startsWith('[') && parsed.positionals[index] === undefined);
  if (missing !== undefined) throw new UsageError(`${missing} is missing`);
  const surplus = parsed.positionals[positionals.length];
  if (surplus !== undefined) throw new UsageError(`what is '${surplus}' for? Nothing is expected there`);
  const values = Object.entries(flags).map(([name, flag]) => {
    const given = (parsed.values[flag.flag] ?? []) as readonly (string | boolean)[];
    return [name, flag.read(given.map(String), env)] as const;
  });
  return { values: Object.fromEntries(values) as FlagValues<F>, positionals: parsed.positionals };
}

function parse(args: readonly string[], options: Record<string, { type: 'string' | 'boolean'; multiple: true }>) {
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    // Node's messages go on with advice on how to quote, which hides what is wrong.
    const [first = ''] = messageOf(error).split(/\.? To specify|\n/);
    throw new UsageError(`${first.charAt(0).toLowerCase()}${first.slice(1)}`, error);
  }
}
