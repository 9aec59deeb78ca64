// Whether finding work, lists and progress cost the same however many tasks there are, a tenth of them open; with the plans.

import { runChild } from '../lib/child.mjs';
import { createTaskDatabase } from '../lib/task-data.mjs';

const ROUNDS = 1000;
const TARGET = 2;

/** @returns {Promise<string[]>} lines of markdown; latencies in ms */
export async function measureTaskSizes({ database, log, sizes = [1_000, 100_000, 1_000_000], rounds = ROUNDS }) {
  const connections = {};
  for (const size of sizes) {
    log(`making ${size} tasks ...`);
    connections[size] = await createTaskDatabase(database.connection, size);
  }
  const { rows, plans } = await runChild('muster/task-sizes.mjs', { connections, rounds });
  const [least] = sizes;
  const lines = [
    `| p50 / p99 in ms, of ${rounds} | ${sizes.map((size) => size.toLocaleString('en-US')).join(' | ')} | worst p99 to that of ${least.toLocaleString('en-US')} |`,
    `| --- |${sizes.map(() => ' ---: |').join('')} ---: |`,
  ];
  for (const { what, sizes: found } of rows) {
    const ratio = Math.max(...found.slice(1).map(({ p99 }) => p99)) / found[0].p99;
    const cells = found.map(({ p50, p99 }) => `${p50.toFixed(2)} / ${p99.toFixed(2)}`);
    lines.push(
      `| ${what} | ${cells.join(' | ')} | ${ratio.toFixed(2)} (${TARGET} ${ratio <= TARGET ? 'met' : 'MISSED'}) |`,
    );
  }
  for (const { what, plans: each } of plans) {
    lines.push('', `${what}:`, '', '```');
    for (const { name, plan } of each) lines.push(`-- ${name}`, plan);
    lines.push('```');
  }
  return lines;
}
