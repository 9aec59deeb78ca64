// What start and submit take in a repository of 20,000 files, and how much of that is Muster's: all but the time in which a git of the
// server's runs. To begin a git counts as Muster's, and is told apart: to fork the server, or to have a process that has waited become git.

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cpuSeconds, postgresCpuSeconds } from '../lib/cpu.mjs';
import { startMuster } from '../lib/muster.mjs';
import { measureBecoming } from '../lib/spare-clock.mjs';

const run = promisify(execFile);
const FILES = 20_000;
const PER_FOLDER = 100;
const EDITS = 5;
/** Tasks in a repository of 100 files before, so that a server is measured that has been at work for a while, not one that still compiles. */
const WARM_UP = 100;
const TARGET_MS = 15;

/** @returns {Promise<string[]>} lines of markdown */
export async function measureTaskGit({ database, log, tasks = 15 }) {
  const home = await mkdtemp(join(tmpdir(), 'muster-bench-git-'));
  try {
    log(`making a repository of ${FILES} files ...`);
    const repo = await makeRepository(join(home, 'repo'), FILES);
    const small = await makeRepository(join(home, 'small'), 100);
    const clock = join(home, 'clock');
    await writeFile(clock, '');
    const muster = await startMuster({
      DATABASE_URL: database.connection,
      MUSTER_DATA_DIR: join(home, 'data'),
      GIT_CLOCK: clock,
      NODE_OPTIONS: `--import ${new URL('../lib/git-clock.mjs', import.meta.url)}`,
    });
    try {
      return await measure({
        pids: { server: muster.pid, postgres: database.pid },
        url: muster.url,
        repo,
        small,
        clock,
        log,
        tasks,
      });
    } finally {
      await muster.stop();
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function measure({ pids, url, repo, small, clock, log, tasks }) {
  const { id: warm_id } = await post(`${url}/api/repos`, { path: small });
  for (let n = 0; n < WARM_UP; n += 1) await workOn(url, warm_id, 20, (_, work) => work());
  const { id: repo_id } = await post(`${url}/api/repos`, { path: repo });
  const taken = { start: [], submit: [] };
  const cpu = { start: [0, 0], submit: [0, 0] };
  const burnt = () => [cpuSeconds(pids.server), postgresCpuSeconds(pids.postgres)];
  const metered = async (what, work) => {
    const before = burnt();
    const result = await work();
    cpu[what] = burnt().map((seconds, n) => cpu[what][n] + seconds - before[n]);
    return result;
  };
  // The first of each warms up.
  for (let n = 0; n <= tasks; n += 1) {
    if (n === 1) cpu.start = cpu.submit = [0, 0];
    await workOn(url, repo_id, FILES / EDITS, async (what, work) => {
      const span = await metered(what, () => timed(clock, work));
      log(`${what} ${n}: ${JSON.stringify(span)}`);
      if (n > 0) taken[what].push(span);
    });
  }
  const becoming = await measureBecoming();
  log(`a process that has waited becomes another in ${becoming.toFixed(2)} ms`);
  for (const span of Object.values(taken).flat()) span.starting += span.runs * becoming;
  const lines = [
    `| ${FILES.toLocaleString('en-US')} files, of ${tasks} | all, p50 ms | git, p50 ms | git processes | to begin them, p50 ms | Muster outside git: least / p50 / most, ms | CPU of server / Postgres, mean ms | target |`,
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
  ];
  for (const [what, list] of Object.entries(taken)) {
    const all = sorted(list.map(({ total }) => total));
    const git = sorted(list.map((each) => each.git));
    const own = sorted(list.map((each) => each.total - each.git + each.starting));
    const verdict = `below ${TARGET_MS} ${median(own) < TARGET_MS ? 'met' : 'MISSED'}`;
    lines.push(
      `| ${what} | ${median(all).toFixed(0)} | ${median(git).toFixed(0)} | ${list[0].runs} | ${median(sorted(list.map(({ starting }) => starting))).toFixed(1)} | ${own[0].toFixed(1)} / ${median(own).toFixed(1)} / ${own.at(-1).toFixed(1)} | ${cpu[what].map((seconds) => ((seconds / list.length) * 1000).toFixed(0)).join(' / ')} | ${verdict} |`,
    );
  }
  return lines;
}

/** Starts a task, changes files that are `apart`, submits it and cancels it; start and submit as `around` does it. */
async function workOn(url, repo_id, apart, around) {
  const { id } = await post(`${url}/api/tasks`, { repo_id, kind: 'Task', description: `Change ${EDITS} files` });
  await around('start', () => post(`${url}/api/tasks/${id}/start`, {}));
  const { vcs } = await (await fetch(`${url}/api/tasks/${id}`)).json();
  for (let edit = 0; edit < EDITS; edit += 1) await appendFile(join(vcs.worktree_path, nameOf(edit * apart)), 'More\n');
  await around('submit', () => post(`${url}/api/tasks/${id}/submit`, { message: 'Change them' }));
  await post(`${url}/api/tasks/${id}/cancel`, {});
}

const sorted = (numbers) => [...numbers].sort((a, b) => a - b);
const median = (list) => list[Math.floor(list.length / 2)];

/** What `work` takes, how long it waited for one git at least and how much of that was the fork, in ms, and how many they were. */
async function timed(clock, work) {
  await writeFile(clock, '');
  const began = performance.now();
  await work();
  const total = performance.now() - began;
  const spans = (await readFile(clock, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
    .sort((a, b) => a[0] - b[0]);
  let git = 0;
  let starting = 0;
  let end = 0;
  for (const [called, from, to] of spans) {
    starting += from - called;
    git += Math.max(0, to - Math.max(called, end));
    end = Math.max(end, to);
  }
  return { total, git, starting, runs: spans.length };
}

/** Not by fetch, whose own work would be a good part of what is measured. */
async function post(url, body) {
  const request = http.request(url, { agent, method: 'POST', headers: { 'content-type': 'application/json' } });
  request.end(JSON.stringify(body));
  const [answer] = await once(request, 'response');
  const text = (await answer.toArray()).join('');
  if (answer.statusCode >= 300) throw new Error(`${url}: ${text}`);
  return JSON.parse(text);
}

const agent = new http.Agent({ keepAlive: true });

const nameOf = (n) => join(`folder-${Math.floor(n / PER_FOLDER)}`, `file-${n}.txt`);

/** As a clone is: all of it in one pack, and nothing left for git to tidy up meanwhile. */
async function makeRepository(path, files) {
  await mkdir(path);
  await chmod(path, 0o755);
  const settings = ['user.name=Bench', 'user.email=bench@example.com', 'gc.auto=0'].flatMap((each) => ['-c', each]);
  const git = (...args) => run('git', ['-C', path, ...settings, ...args], { maxBuffer: 64 * 1024 * 1024 });
  await git('init', '--quiet', '--initial-branch=main');
  for (let n = 0; n < files; n += 1) {
    if (n % PER_FOLDER === 0) await mkdir(join(path, `folder-${n / PER_FOLDER}`));
    await writeFile(join(path, nameOf(n)), `The file ${n}\n`);
  }
  await git('add', '--all');
  await git('commit', '--quiet', '--message', 'Begin');
  await git('gc', '--quiet');
  return path;
}
