// Every peer and every load driver is a process of its own, so that none shares an event loop with another. They take
// their options as JSON in the first argument and answer over the IPC channel.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Starts bench/<script>; resolves with its first message and a way to end it. */
export async function startChild(script, options, env = {}) {
  const path = fileURLToPath(new URL(`../${script}`, import.meta.url));
  const child = fork(path, [JSON.stringify(options)], { env: { ...process.env, ...env } });
  const message = await firstMessage(child, script);
  return {
    message,
    pid: child.pid,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}

/** Runs bench/<script> to its answer. */
export async function runChild(script, options, env = {}) {
  const child = await startChild(script, options, env);
  await child.stop();
  return child.message;
}

function firstMessage(child, script) {
  return new Promise((resolve, reject) => {
    child.once('message', resolve);
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(new Error(`${script} ended with ${code ?? signal} before it answered`)),
    );
  });
}

/** In the child: the options the parent gave. */
export const childOptions = () => JSON.parse(process.argv[2] ?? '{}');

// A child whose parent is gone must not live on.
process.once('disconnect', () => process.exit());

/** In the child: answers the parent, or prints when run by hand. */
export function answer(message) {
  if (process.send) process.send(message);
  else console.log(message);
}
