// How long a process that has waited takes to become another program, beyond what that program takes itself.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { createSpares } from '../../dist/src/platform/git/spare.js';

const TIMES = 100;
const env = { PATH: process.env.PATH };
const start = { program: '/bin/true', args: [], cwd: '/', env: {}, hasInput: false };

/** @returns {Promise<number>} milliseconds, the median */
export async function measureBecoming() {
  const spares = createSpares(1, env);
  const became = [];
  const began = [];
  for (let n = 0; n < TIMES; n += 1) {
    spares.fill();
    // Until it waits, as spares do.
    await pause(20);
    became.push(await toEnd(spares.take(start).child));
    began.push(await toEnd(spawn(start.program, [], { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })));
  }
  return median(became) - median(began);
}

async function toEnd(child) {
  const began = performance.now();
  await once(child, 'exit');
  return performance.now() - began;
}

const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
