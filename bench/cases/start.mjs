// How long a user waits for a server with its embedded Postgres, and what it takes while nobody calls.

import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startMuster } from '../lib/muster.mjs';

/** @returns {Promise<{firstMs: number, laterMs: number, idleMiB: number | null}>} memory: server and Postgres, by PSS */
export async function measureStart() {
  const dataDir = await mkdtemp(join(tmpdir(), 'muster-bench-start-'));
  try {
    const first = await startMuster({ MUSTER_DATA_DIR: dataDir });
    await first.stop();
    const later = [];
    let idleMiB = null;
    for (let n = 0; n < 5; n += 1) {
      const server = await startMuster({ MUSTER_DATA_DIR: dataDir });
      later.push(server.readyMs);
      if (n === 4) {
        // Memory settles once nothing more is loaded.
        await sleep(5000);
        idleMiB = treeMiB(server.pid);
      }
      await server.stop();
    }
    later.sort((a, b) => a - b);
    return { firstMs: first.readyMs, laterMs: later[2], idleMiB };
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** Proportional set size of a process and all below it: shared pages count once. Null where there is no /proc. */
function treeMiB(root) {
  try {
    const parents = new Map();
    for (const name of readdirSync('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    }
    const below = (pid) => pid === root || (parents.has(pid) && parents.get(pid) > 1 && below(parents.get(pid)));
    let kib = 0;
    for (const pid of parents.keys()) {
      if (below(pid)) kib += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
    }
    return kib / 1024;
  } catch {
    return null;
  }
}
