import type { Flags, FlagValues } from './flags.js';

/** What a command is and does. Its module is loaded only when it is asked for. */
export interface Command {
  /** Arguments besides flags, such as `ID`; in brackets when they may be left out. */
  readonly positionals: readonly string[];
  readonly flags: Flags;
  /** What help says, besides the list of flags. */
  readonly about: string;
  /** Answers the exit code. Throws CommandError. */
  run(values: Readonly<Record<string, unknown>>, positionals: readonly string[]): Promise<number>;
}

/** A command in the list of all. */
export interface Entry {
  /** As typed: `jobs submit`. */
  readonly name: string;
  readonly summary: string;
  /** Loaded when asked for: a server need not pay for the client, nor a client for the server. */
  readonly load: () => Promise<Command>;
}

/** Ties a command's flags to the values that its `run` gets. */
export function command<F extends Flags>(made: {
  readonly positionals?: readonly string[];
  readonly flags: F;
  readonly about: string;
  readonly run: (values: FlagValues<F>, positionals: readonly string[]) => Promise<number>;
}): Command {
  return { positionals: [], ...made, run: (values, positionals) => made.run(values as FlagValues<F>, positionals) };
}
