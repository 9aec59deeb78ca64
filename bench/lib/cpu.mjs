// CPU time from /proc: on a machine that other work shares, CPU per request tells more than requests per second.

import { readdirSync, readFileSync } from 'node:fs';

const TICKS_PER_SECOND = 100;

/** User and system time of a process in seconds; null where there is no /proc. */
export function cpuSeconds(pid) {
  const stat = readStat(pid);
  return stat && (stat.user + stat.system) / TICKS_PER_SECOND;
}

/** The same for Postgres: the postmaster, its living children, and those that it has already buried. */
export function postgresCpuSeconds(postmaster) {
  const own = readStat(postmaster);
  if (!own) return null;
  let ticks = own.user + own.system + own.buriedUser + own.buriedSystem;
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = readStat(name);
    if (stat?.parent === postmaster) ticks += stat.user + stat.system;
  }
  return ticks / TICKS_PER_SECOND;
}

function readStat(pid) {
  let text;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The process name may hold spaces and brackets; the fields proper begin after its last bracket.
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  return { parent: fields[1], user: fields[11], system: fields[12], buriedUser: fields[13], buriedSystem: fields[14] };
}

/**
 * Adds to what `work` measures how many microseconds of CPU an answer cost the server and Postgres.
 *
 * @param {{server: number, postgres: number}} pids
 * @param {() => Promise<{rate: number, answers: number}>} work
 */
export async function withServerCpu({ server, postgres }, work) {
  const before = [cpuSeconds(server), postgresCpuSeconds(postgres)];
  const result = await work();
  const after = [cpuSeconds(server), postgresCpuSeconds(postgres)];
  const perAnswer = (n) => (before[n] === null ? null : Math.round(((after[n] - before[n]) / result.answers) * 1e6));
  return { ...result, serverMicros: perAnswer(0), postgresMicros: perAnswer(1) };
}
