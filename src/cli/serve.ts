import { isatty } from 'node:tty';
import { readSettings } from '../platform/config.js';
import { createLog, type Log } from '../platform/log.js';
import { within } from '../platform/within.js';
import { serverSettings } from '../settings.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { settingFlags } from './flags.js';
import { stderr } from './output.js';

export const serveCommand = command({
  flags: settingFlags(serverSettings),
  about: [
    'Runs until it is told to stop by Ctrl+C or SIGTERM: it lets requests under way end, tells workers to go on',
    'elsewhere, and stops its database. A second signal ends it where it stands. SIGHUP reads the TLS files anew. Logs go to',
    'stdout, a JSON object a line.',
  ].join('\n'),
  run: (values) => serve(values),
});

/** Runs a server until it is told to stop or can no longer work. Answers the exit code. */
async function serve(values: Readonly<Record<string, unknown>>): Promise<number> {
  const config = readSettings(serverSettings, { flags: flagsOf(values), env: process.env });
  const log = createLog(config.logLevel);
  const began = performance.now();
  let reload = (): void => undefined;
  const told = signalled(() => reload());
  // A bad value has been named by now, and a signal is heard while all the rest is loaded.
  const { startApp } = await import('../app.js');
  const starting = startApp({ config, log });
  void told.then((reason) => leaveUnlessStarted(starting, reason, log));
  const app = await starting;
  reload = () => app.reload();
  log.info('ready', { url: app.url, pid: process.pid, ms: Math.round(performance.now() - began) });
  stderr.text(banner(app.url));

  const reason = await Promise.race([told, app.failed]);
  const failed = !reason.startsWith('SIG');
  if (failed) log.error('failed', { message: reason });
  log.info('stopping', { reason });
  await app.stop();
  log.info('stopped');
  const code = failed ? exitCodes.failed : exitCodes.ok;
  leaveSurely(code, log);
  return code;
}

/** What a start may wait for, such as another server's migration, may never come. */
async function leaveUnlessStarted(starting: Promise<unknown>, reason: string, log: Log): Promise<void> {
  if (await within(startMs, starting)) return;
  log.warn('start_given_up', { reason });
  process.exit(exitCodes.interrupted);
}

/** The process ends by itself when nothing is open any more. Whoever told it to stop is not made to wait if something is. */
function leaveSurely(code: number, log: Log): void {
  const leave = (): void => {
    log.warn('left_open', { resources: process.getActiveResourcesInfo() });
    process.exit(code);
  };
  setTimeout(leave, leaveMs).unref();
}

/** How long a server that was told to stop may take to start. */
const startMs = 15_000;
/** How long it may take to end when all is stopped. */
const leaveMs = 5_000;

/** readSettings knows flags by their own names. */
export function flagsOf(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const settings: Readonly<Record<string, { readonly flag: string }>> = serverSettings;
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [settings[name]?.flag ?? name, value]));
}

/**
 * The first signal that asks for a stop; the second one ends the process where it stands. SIGHUP asks for a stop when the terminal that
 * the server was started on has gone, and else, as is the custom, for files to be read anew.
 */
function signalled(reload: () => void): Promise<string> {
  const terminal = [0, 1, 2].find(isatty);
  return new Promise((resolve) => {
    let count = 0;
    const stop = (signal: string): void => {
      count += 1;
      if (count > 1) process.exit(exitCodes.interrupted);
      resolve(signal);
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
    process.on('SIGHUP', (signal) => {
      if (terminal !== undefined && !isatty(terminal)) stop(signal);
      else reload();
    });
  });
}

function banner(url: string): string {
  return [
    '',
    `  Muster is ready at ${url}`,
    '',
    `  REST      ${url}/v1/jobs`,
    `  RPC       ${url}/muster.v1.JobService/   (Connect, gRPC, gRPC-Web)`,
    `  API docs  ${url}/docs   (${url}/openapi.json)`,
    `  Health    ${url}/healthz, ${url}/readyz`,
    '',
    '  Stop it with Ctrl+C.',
    '',
    '',
  ].join('\n');
}
