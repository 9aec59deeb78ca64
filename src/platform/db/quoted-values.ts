import pg from 'pg';

/**
 * Takes the value out of an error of Postgres that quotes one, in place: such an error is told to the log, which has no
 * payloads in it. Those are the data exceptions (class 22), such as `invalid input syntax for type json: "..."`; other classes
 * name tables and columns alone, and keep rows to their detail, which is not told. Answers the error.
 */
export function hideValues(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError) || error.code?.startsWith('22') !== true) return error;
  const message = `Postgres cannot take a value (${error.code}, ${error.routine ?? 'unknown routine'})`;
  const stack = error.stack?.replace(error.message, () => message);
  return Object.assign(error, { message, stack, detail: undefined, where: undefined });
}
