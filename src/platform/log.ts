import { pino, stdTimeFunctions } from 'pino';

export const logLevels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Ids and figures at hand. Never a secret or a payload. `error` takes anything thrown. */
export type LogFields = { readonly [key: string]: unknown };

/**
 * One JSON object a line on stdout: `ts` (ISO 8601 UTC), `level` (DEBUG, INFO, WARN, ERROR), `event` (a short key)
 * and the fields given.
 */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  /** True where lines of this level are written, so that a hot path can leave out the work of building them. */
  readonly infoEnabled: boolean;
}

/** What may wait to be written; beyond that lines are left out, so that a stdout that nobody reads does not fill the memory. */
const maxWaitingBytes = 16 * 1024 * 1024;

/** `destination` takes whole lines; by default stdout, written without blocking. */
export function createLog(level: LogLevel, destination?: { write(line: string): void }): Log {
  const options = {
    level,
    base: null,
    messageKey: 'message',
    timestamp: () => stdTimeFunctions.isoTime().replace('"time"', '"ts"'),
    formatters: { level: (label: string) => ({ level: label.toUpperCase() }) },
  };
  const logger = pino(options, destination ?? createStdout());
  const at =
    (method: 'debug' | 'info' | 'warn' | 'error') =>
    (event: string, fields?: LogFields): void => {
      if (!logger.isLevelEnabled(method)) return;
      logger[method](fields === undefined ? { event } : { event, ...fields, ...errorField(fields['error']) });
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    infoEnabled: logger.isLevelEnabled('info'),
  };
}

/**
 * Outlives a stdout that cannot be written to, such as that of a terminal that has been closed (EIO) or a file on a full disk: pino would
 * end the process, and then wait for ever for its last lines to be written.
 */
function createStdout(): { write(line: string): void } {
  const stdout = pino.destination({ dest: 1, sync: false, maxLength: maxWaitingBytes });
  let gone = false;
  stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
    stdout.flushSync = () => undefined;
    if (code === 'EIO' || code === 'EBADF') gone = true;
  });
  return { write: (line) => void (gone || stdout.write(line)) };
}

function errorField(error: unknown): LogFields | undefined {
  if (error === undefined) return undefined;
  if (!(error instanceof Error)) return { error: String(error) };
  const cause = error.cause instanceof Error ? { cause: error.cause.stack ?? error.cause.message } : undefined;
  return { error: error.message, stack: error.stack, ...cause };
}
