// What tasks cost among few and among many of them: the use cases in this process, on a database for each size, in turns, so that
// whatever else the machine does meets all of them alike. Options: connections (by size), rounds.
//
// Git is left apart: it answers at once.

import { createTasks } from '../../dist/src/modules/tasks/index.js';
import { createDatabase } from '../../dist/src/platform/db/db.js';
import { createIds } from '../../dist/src/platform/ids.js';
import { createLog } from '../../dist/src/platform/log.js';
import { answer, childOptions } from '../lib/child.mjs';
import { withClient } from '../lib/db.mjs';
import { explain } from '../lib/explain.mjs';
import { REPO, taskAt } from '../lib/task-data.mjs';

const { connections, rounds } = childOptions();
const WARM_UP = 50;
/** Claims before what they have taken is given back. */
const CLAIMS = 10;

const clock = { now: () => new Date() };
const log = createLog('silent');
const origin = { source: 'Rest', actor: { kind: 'human', id: 'local' }, correlationId: 'bench' };
const commit = 'a'.repeat(40);
const git = {
  foresee: (task) => task,
  prepare: async ({ taskId }) => ({
    branch: `task/${taskId}`,
    baseCommit: commit,
    headCommit: commit,
    worktreePath: '/bench',
  }),
  commit: async () => ({ headCommit: commit }),
  archive: async () => ({ headCommit: commit }),
};

const OPERATIONS = {
  'next-ready of the repository': (tasks) => tasks.nextReady({ repoId: REPO }),
  'next-ready of a milestone': (tasks) => tasks.nextReady({ milestoneId: taskAt(3, 0) }),
  'claim-next of the repository, git apart': (tasks) => tasks.claimNext({ repoId: REPO }, origin),
  'list, first page of 50': (tasks) => tasks.list({ repoId: REPO, kind: [], status: [] }),
  'list, ready ones': (tasks) => tasks.list({ repoId: REPO, kind: [], status: [], ready: true, limit: 10 }),
  'list, open ones': (tasks) => tasks.list({ repoId: REPO, kind: [], status: ['Pending', 'InProgress', 'InReview'] }),
  'list, Completed Tasks, archived or not': (tasks) =>
    tasks.list({ repoId: REPO, kind: ['Task'], status: ['Completed'] }),
  'progress of the repository': (tasks) => tasks.progress({ repoId: REPO }),
  'progress of a milestone': (tasks) => tasks.progress({ rootId: taskAt(3, 0) }),
};

function open(connectionString) {
  const db = createDatabase({ connectionString }, { poolSize: 4, log, ownSessions: true });
  const told = [];
  const note = (on) => ({
    ...on,
    query(statement, values) {
      told.push({ ...statement, values });
      return on.query(statement, values);
    },
  });
  const noted = { ...note(db), transaction: (work) => db.transaction((tx) => work(note(tx))) };
  const deps = {
    clock,
    log,
    newId: createIds(clock),
    appended() {},
    vcs: git,
    committer: { name: 'a', email: 'a@b' },
    pollMs: 1e9,
  };
  return {
    db,
    told,
    connectionString,
    tasks: createTasks({ ...deps, db }),
    noted: createTasks({ ...deps, db: noted }),
    claims: 0,
  };
}

/** Gives back what was claimed, as if it had not been. */
async function giveBack({ connectionString }) {
  await withClient(connectionString, async (client) => {
    await client.query('delete from task_vcs where head_commit is null');
    await client.query("update tasks set status = 'Pending', started_at = null where state = 'in_progress'");
    await client.query('delete from events_new');
  });
}

async function timed(what, size) {
  const began = performance.now();
  const result = await OPERATIONS[what](size.tasks);
  const took = performance.now() - began;
  if (result === undefined || result.tasks?.length === 0) throw new Error(`${what} found nothing`);
  if (what.startsWith('claim') && (size.claims = (size.claims + 1) % CLAIMS) === 0) await giveBack(size);
  return took;
}

const sizes = Object.entries(connections).map(([count, connection]) => ({ count: Number(count), ...open(connection) }));
const rows = [];
const plans = [];
for (const what of Object.keys(OPERATIONS)) {
  const times = sizes.map(() => []);
  for (let round = -WARM_UP; round < rounds; round += 1) {
    for (const [index, size] of sizes.entries()) {
      const took = await timed(what, size);
      if (round >= 0) times[index].push(took);
    }
  }
  rows.push({
    what,
    sizes: times.map((list, index) => {
      list.sort((a, b) => a - b);
      const at = (part) => list[Math.min(list.length - 1, Math.floor(list.length * part))];
      return { count: sizes[index].count, p50: at(0.5), p99: at(0.99) };
    }),
  });
  const most = sizes.at(-1);
  most.told.length = 0;
  await OPERATIONS[what](most.noted);
  plans.push({ what, plans: await explain(most.connectionString, most.told) });
  await giveBack(most);
}
for (const { db } of sizes) await db.close();
answer({ rows, plans });
process.exit();
