// `npm run bench`: for now the peers alone. Arguments, all optional: `--rounds 3 --seconds 5 --only rest,grpc,queues`.

import { parseArgs } from 'node:util';
import { grpcCases } from './cases/grpc.mjs';
import { queueCases } from './cases/queues.mjs';
import { restCases } from './cases/rest.mjs';
import { settle, startDatabase } from './lib/db.mjs';
import { describeRun } from './lib/machine.mjs';
import { createPeerTables } from './lib/peer-tables.mjs';
import { printReport } from './lib/report.mjs';
import { runRounds } from './lib/rounds.mjs';

const GROUPS = { rest: restCases, grpc: grpcCases, queues: queueCases };

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    only: { type: 'string', default: Object.keys(GROUPS).join() },
  },
});

const database = await startDatabase();
try {
  const ids = await createPeerTables(database.connection, 10_000);
  await settle(database.connection);
  const rows = [];
  for (const group of values.only.split(',')) {
    const { cases, stop } = await GROUPS[group]({ database, ids, seconds: Number(values.seconds) });
    const results = await runRounds(cases, { rounds: Number(values.rounds), log: (line) => console.error(line) });
    await stop();
    for (const { name, what, peer } of cases) rows.push({ what, peer, peerRate: results.get(name).rate });
  }
  printReport({ facts: await describeRun(database.connection), rows });
} finally {
  await database.stop();
}
