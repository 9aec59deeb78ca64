import { createMusterClient, defaultUrl, errorFactsOf, type MusterClient } from '../client/index.js';
import { AppError } from '../errors.js';
import { parse } from '../platform/config.js';
import { cliSource, sourceHeader } from '../platform/rpc/call.js';
import { CommandError, exitCodes, UsageError } from './errors.js';
import { withDefault } from './flags.js';
import { durationText, printable, stderr } from './output.js';

export const urlFlag = withDefault({
  flag: 'url',
  value: 'URL',
  env: 'MUSTER_URL',
  fallback: defaultUrl,
  help: 'Address of the server.',
  parse: parse.text,
});

/** With these the ledger tells the command line from other callers. */
export const cliHeaders = { [sourceHeader]: cliSource };

/** A client for what --url and MUSTER_TOKEN say. Throws UsageError. */
export function clientFor(url: string): MusterClient {
  const token = process.env['MUSTER_TOKEN'];
  try {
    return createMusterClient({ url, token: token === '' ? undefined : token, headers: cliHeaders });
  } catch (error) {
    throw error instanceof AppError ? new UsageError(error.message, error) : error;
  }
}

/** Lends a client to `use`, and says what went wrong on its calls in one line. */
export async function withClient(url: string, use: (client: MusterClient) => Promise<number>): Promise<number> {
  const client = clientFor(url);
  try {
    return await use(client);
  } catch (error) {
    throw callError(error, client.url);
  } finally {
    client.close();
  }
}

/** What a failed call means to the command; anything else is answered as it is. */
export function callError(error: unknown, url: string): unknown {
  if (!(error instanceof Error) || error.name !== 'ConnectError') return error;
  const { word, message, unreachable } = errorFactsOf(error);
  if (!unreachable) return new CommandError(`${word}: ${message}`, exitCodes.failed, error);
  return new CommandError(
    `cannot reach a server at ${url}: ${message}. Start one with: ${startCommand(url)}`,
    exitCodes.unreachable,
    error,
  );
}

/** Says that a stream of a command that goes on has been cut off. */
export function sayLost({ url }: MusterClient, error: unknown, retryInMs: number): void {
  const { message } = errorFactsOf(error);
  stderr.line(`muster: lost ${url} (${printable(message)}); trying again in ${durationText(retryInMs)}`);
}

/** How to start a server that answers there. */
export function startCommand(url: string): string {
  const { port } = new URL(url);
  return port === new URL(defaultUrl).port || port === '' ? 'muster serve' : `muster serve --port ${port}`;
}
