import { startApp } from '../app.js';
import { readSettings } from '../platform/config.js';
import { createLog } from '../platform/log.js';
import { serverSettings } from '../settings.js';

/** Runs a server until it is told to stop or can no longer work. Answers the exit code. */
export async function serve(flags: Readonly<Record<string, unknown>>): Promise<number> {
  const config = readSettings(serverSettings, { flags, env: process.env });
  const log = createLog(config.logLevel);
  const began = performance.now();
  const told = signalled();
  const app = await startApp({ config, log });
  log.info('ready', { url: app.url, pid: process.pid, ms: Math.round(performance.now() - began) });
  process.stderr.write(banner(app.url));

  const reason = await Promise.race([told, app.failed]);
  const failed = reason !== 'SIGINT' && reason !== 'SIGTERM';
  if (failed) log.error('failed', { message: reason });
  log.info('stopping', { reason });
  await app.stop();
  log.info('stopped');
  return failed ? 1 : 0;
}

/** The first signal that asks for a stop; the second one ends the process where it stands. */
function signalled(): Promise<string> {
  return new Promise((resolve) => {
    let count = 0;
    const stop = (signal: string): void => {
      count += 1;
      if (count > 1) process.exit(130);
      resolve(signal);
    };
    process.on('SIGINT', stop);
    process.on('SIGTERM', stop);
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
