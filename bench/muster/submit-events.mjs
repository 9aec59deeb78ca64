// What an event costs a submit: the store's own statement as it is, and the same without the part that records the event. Options:
// jobs, callers, events.

import { createSubmitter } from '../../dist/src/modules/jobs/submitter.js';
import { createDatabase } from '../../dist/src/platform/db/db.js';
import { createIds } from '../../dist/src/platform/ids.js';
import { createLog } from '../../dist/src/platform/log.js';
import { answer, childOptions } from '../lib/child.mjs';
import { settle, withClient } from '../lib/db.mjs';
import { submitConcurrently } from '../lib/submit.mjs';

const { jobs, callers, events } = childOptions();
const connectionString = process.env.DATABASE_URL;
const real = createDatabase({ connectionString }, { poolSize: 10, log: createLog('silent'), ownSessions: true });

/** The statement without `recorded AS (...)`. Its parameters stay, of which nobody looks at those of the event. */
function withoutEvents({ name, text }) {
  const begin = text.indexOf('recorded AS (');
  const one = name === 'jobs_insert_one';
  const end = text.indexOf(one ? ')\n  INSERT INTO jobs_ready' : '), ready AS (');
  if (begin < 0 || end < begin) throw new Error('the statement records no event');
  const unused = one
    ? [9, 10, 11, 12, 13].map((n) => `$${n}::text IS NULL`)
    : [14, 15, 16, 17].map((n) => `$${n}::text[] IS NULL`);
  const rest = `${text.slice(0, begin)}recorded AS (SELECT 1 WHERE ${unused.join(' OR ')}${text.slice(end)}`;
  return { name: `${name}_without_events`, text: rest };
}
const db = events ? real : { query: (statement, values) => real.query(withoutEvents(statement), values) };

const clock = { now: () => new Date() };
const submitter = createSubmitter({
  db,
  clock,
  newId: createIds(clock),
  wakeups: { notify() {} },
  onScheduled() {},
  appended() {},
});
const origins = Array.from({ length: callers }, (_, n) => ({
  source: 'Rest',
  actor: { kind: 'human', id: 'local' },
  correlationId: `bench-${n}`,
}));
const submit = (n) => submitter.submit({ kind: 'noop', payload: { n } }, { ...origins[n % callers] });

await withClient(connectionString, (client) => client.query('truncate jobs, jobs_ready, events_new'));
await submitConcurrently({ jobs: jobs / 5, callers, submit });
await settle(connectionString);
answer(await submitConcurrently({ jobs, callers, submit }));
await real.close();
process.exit();
