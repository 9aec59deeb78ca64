// `npm run bench`: Muster against public tools, in one run on one Postgres with durable commits.
// Arguments, all optional: `-- --rounds 3 --seconds 5 --only rest,grpc,queues,tasks,task-sizes,task-git,claims,events,start`.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    only: { type: 'string', default: 'rest,grpc,queues,tasks,task-sizes,task-git,claims,events,start' },
  },
});
install();

const { grpcCases } = await import('./cases/grpc.mjs');
const { queueCases } = await import('./cases/queues.mjs');
const { restCases } = await import('./cases/rest.mjs');
const { taskCases } = await import('./cases/tasks.mjs');
const { measureTaskSizes } = await import('./cases/task-sizes.mjs');
const { measureTaskGit } = await import('./cases/task-git.mjs');
const { measureClaims } = await import('./cases/claims.mjs');
const { measureEvents } = await import('./cases/events.mjs');
const { measureStart } = await import('./cases/start.mjs');
const { settle, startDatabase } = await import('./lib/db.mjs');
const { describeRun } = await import('./lib/machine.mjs');
const { startMuster } = await import('./lib/muster.mjs');
const { createPeerTables } = await import('./lib/peer-tables.mjs');
const { printReport } = await import('./lib/report.mjs');
const { runRounds } = await import('./lib/rounds.mjs');
const { targetOf } = await import('./targets.mjs');

const GROUPS = { rest: restCases, grpc: grpcCases, queues: queueCases, tasks: taskCases };
const wanted = values.only.split(',');
const log = (line) => console.error(line);

const database = await startDatabase();
const muster = await startMuster({ DATABASE_URL: database.connection });
try {
  const ids = await createPeerTables(database.connection, 10_000);
  await settle(database.connection);
  const rows = [];
  for (const group of Object.keys(GROUPS).filter((name) => wanted.includes(name))) {
    const { cases, stop } = await GROUPS[group]({ database, ids, muster, seconds: Number(values.seconds) });
    const results = await runRounds(cases, { rounds: Number(values.rounds), log });
    await stop();
    rows.push(...compare(cases, results));
  }
  printReport({ facts: await describeRun(database.connection), rows });
  if (wanted.includes('claims')) printClaims(await measureClaims({ database, muster }));
  if (wanted.includes('task-sizes')) console.log(`\n${(await measureTaskSizes({ database, log })).join('\n')}`);
  if (wanted.includes('task-git')) console.log(`\n${(await measureTaskGit({ database, log })).join('\n')}`);
  if (wanted.includes('events')) {
    const lines = await measureEvents({ database, muster, rounds: Number(values.rounds), log });
    console.log(`\n${lines.join('\n')}`);
  }
} finally {
  await muster.stop();
  await database.stop();
}
if (wanted.includes('start')) printStart(await measureStart());

/** A row for each rival: what it reached, what Muster did at the same, and what Muster had to. */
function compare(cases, results) {
  const rate = (what, peer) => {
    const found = cases.find((candidate) => candidate.what === what && candidate.peer === peer);
    return found && results.get(found.name).rate;
  };
  return cases.flatMap(({ name, what, peer, against }) => {
    if (against !== undefined) {
      const musterRate = results.get(name).rate;
      return [
        { what, peer: `muster, ${against}`, peerRate: rate(against, peer), musterRate, target: targetOf(what, peer) },
      ];
    }
    if (peer === 'muster') return [];
    const musterRate = rate(what, 'muster');
    return [{ what, peer, peerRate: results.get(name).rate, musterRate, target: targetOf(what, peer) }];
  });
}

function printClaims({ rows, plan }) {
  console.log('\n| jobs waiting | claim p50, ms | claim p99, ms |\n| ---: | ---: | ---: |');
  for (const { waiting, p50, p99 } of rows) {
    console.log(`| ${waiting.toLocaleString('en-US')} | ${p50.toFixed(2)} | ${p99.toFixed(2)} |`);
  }
  console.log(`\n${plan}`);
}

function printStart({ firstMs, laterMs, idleMiB }) {
  console.log(`\n- start to ready, first time: ${Math.round(firstMs)} ms`);
  console.log(`- start to ready, later: ${Math.round(laterMs)} ms`);
  console.log(
    `- idle memory, server and Postgres: ${idleMiB === null ? 'unknown here' : `${Math.round(idleMiB)} MiB`}`,
  );
}

/** The peers have dependencies that the server must not carry, so they are installed when somebody measures. */
function install() {
  const here = fileURLToPath(new URL('.', import.meta.url));
  if (existsSync(new URL('./node_modules', import.meta.url))) return;
  console.error('muster: installing the peers (npm ci) ...');
  const { status } = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: here,
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) process.exit(1);
}
