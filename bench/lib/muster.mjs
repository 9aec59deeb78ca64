// Muster as users run it: the built server in a process of its own, on the Postgres that all candidates share.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../dist/src/main.js', import.meta.url));

/**
 * @param {Record<string, string>} env
 * @returns {Promise<{url: string, port: number, pid: number, readyMs: number, stop: () => Promise<void>}>} readyMs: from
 *   the start of the process to its word that it is ready
 */
export async function startMuster(env) {
  const began = performance.now();
  const child = spawn(process.execPath, [MAIN, 'serve'], {
    // One line a request would be measured too; the peers log nothing. A thousand readers come from one address.
    env: { ...process.env, MUSTER_PORT: '0', MUSTER_LOG_LEVEL: 'warn', MUSTER_CONNECTION_LIMIT: 'off', ...env },
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  const gone = once(child, 'exit');
  const url = await Promise.race([
    readyUrl(child.stderr),
    gone.then(([code]) => Promise.reject(new Error(`ended: ${code}`))),
  ]);
  const readyMs = performance.now() - began;
  return {
    url,
    port: Number(new URL(url).port),
    pid: child.pid,
    readyMs,
    async stop() {
      child.kill('SIGTERM');
      await gone;
    },
  };
}

async function readyUrl(stream) {
  for await (const line of createInterface({ input: stream })) {
    const found = /ready at (http:\S+)/.exec(line);
    if (found !== null) {
      stream.resume();
      return found[1];
    }
  }
  throw new Error('the server told no URL');
}
