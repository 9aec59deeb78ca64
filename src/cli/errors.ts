/** How commands end; scripts rely on these. `jobs watch` and `jobs submit --wait` tell the job's end instead. */
export const exitCodes = {
  ok: 0,
  /** The server refused, or something went wrong on the way. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** No server answers. */
  unreachable: 3,
  /** Cut short by a signal: 128 and the number of SIGINT, as shells have it. */
  interrupted: 130,
} as const;

/** Ends the command with a message for people and an exit code. */
export class CommandError extends Error {
  override readonly name: string = 'CommandError';
  readonly exitCode: number;

  constructor(message: string, exitCode: number, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.exitCode = exitCode;
  }
}

/** A command line that makes no sense; the message names what is wrong. */
export class UsageError extends CommandError {
  override readonly name = 'UsageError';

  constructor(message: string, cause?: unknown) {
    super(message, exitCodes.usage, cause);
  }
}
