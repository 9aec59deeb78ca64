import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { makeTempDir, useBuiltServer } from '../support/built-server.js';
import { until } from '../support/until.js';
import { startMuster } from './support/muster.js';

useBuiltServer();

/** Processes that run, or run in, what is under this directory. */
function processesUnder(dir: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return environment.includes(dir) || command.includes(dir) ? [`${pid} ${command}`] : [];
      } catch {
        return [];
      }
    });
}

test('muster demo tells how a task passes its gates and reviews, and leaves nothing behind', async () => {
  const dir = await makeTempDir();
  const { code, stdout } = await startMuster(['demo'], { env: { TMPDIR: dir } }).ended;
  expect(code).toBe(0);
  const told = stdout.split('\n').flatMap((line) => /^ +\d+ {2}(\w+) +([A-Z]\w+)/.exec(line)?.slice(1).join(' ') ?? []);
  const turns = [
    ...['coder TaskStarted', 'coder TaskSubmitted', 'muster GateFailed', 'muster ChangesRequested'],
    ...['coder TaskSubmitted', 'muster GatePassed', 'muster ReviewPhaseChanged', 'coder LearningAdded'],
    ...['reviewer CommentAdded', 'reviewer ReviewPhaseChanged', 'you ReviewApproved', 'you LearningBubbled'],
  ];
  // In this order, whatever else is told between them.
  let place = -1;
  for (const turn of turns) {
    place = told.indexOf(turn, place + 1);
    expect(place, `${turn} in ${told.join(', ')}`).not.toBe(-1);
  }
  expect(stdout).toContain('│ not ok  sum(-1, 1) is 2, not 0');
  expect(stdout).toContain('Your own checkout is as it was.');
  expect(readdirSync(dir)).toEqual([]);
  expect(processesUnder(dir)).toEqual([]);
});

test('muster demo --jobs shows jobs that work, fail, are tried again and are canceled, and leaves nothing behind', async () => {
  const dir = await makeTempDir();
  const demo = startMuster(['demo', '--jobs'], { env: { TMPDIR: dir } });
  const { code, stdout } = await demo.ended;
  expect(code).toBe(0);
  const table = stdout.slice(stdout.indexOf('  FILE ')).split('\n').slice(1);
  const rows = table
    .filter((line) => /^ {2}\S+ +(done|error|canceled) +\d /.test(line))
    .map((line) => line.trim().split(/ +/));
  expect(rows.length).toBeGreaterThan(25);
  expect(rows.filter(([, status]) => status === 'canceled')).toHaveLength(1);
  expect(rows.filter(([, status]) => status === 'error').map((row) => row.at(-1))).toEqual(['exit_65']);
  expect(rows.filter(([, status, attempts]) => status === 'done' && attempts === '2')).toHaveLength(4);
  expect(new Set(rows.map(([, , , worker]) => worker))).toEqual(new Set(['worker-1', 'worker-2']));
  expect(stdout).toContain('its program was killed');
  expect(readdirSync(dir)).toEqual([]);
  expect(processesUnder(dir)).toEqual([]);
});

test.each([
  ['SIGINT', [], /GateStarted/],
  ['SIGTERM', ['--jobs'], /^ {2}(done|failed) /],
] as const)('muster demo leaves nothing behind after %s in mid run', async (signal, args, begun) => {
  const dir = await makeTempDir();
  const demo = startMuster(['demo', ...args], { env: { TMPDIR: dir } });
  await demo.line('it is at work', (line) => begun.test(line));
  demo.kill(signal);
  const { code, stderr } = await demo.ended;
  expect([code, stderr]).toEqual([130, expect.stringContaining('muster: interrupted')]);
  expect(readdirSync(dir)).toEqual([]);
  await until('every process has gone', () => processesUnder(dir).length === 0);
});

test('muster demo leaves nothing behind after SIGINT while it starts', async () => {
  const dir = await makeTempDir();
  const demo = startMuster(['demo'], { env: { TMPDIR: dir } });
  // In the middle of it: its Postgres runs, and the server is not ready.
  await until('Postgres is there', () =>
    readdirSync(dir).some((name) => existsSync(path.join(dir, name, 'data', 'postgres', 'postmaster.pid'))),
  );
  demo.kill('SIGINT');
  const { code } = await demo.ended;
  expect(code).toBe(130);
  expect(readdirSync(dir)).toEqual([]);
  await until('every process has gone', () => processesUnder(dir).length === 0);
});
