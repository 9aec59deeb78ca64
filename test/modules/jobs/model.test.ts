import fc from 'fast-check';
import { test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { startTestApp } from '../../support/app.js';
import { createJobsClient } from '../../support/jobs-client.js';
import { commands, type Real } from './support/job-commands.js';
import { createModel, random } from './support/job-model.js';
import { emptyTables, expectAllNoted } from './support/tables.js';
import { asOften } from '../../support/effort.js';

test('whatever is done to jobs, they are as the model says', { timeout: asOften(120_000) }, async () => {
  const clock = createManualClock(new Date('2026-03-01T12:00:00.000Z'));
  const app = await startTestApp({
    clock,
    random: () => random,
    flags: { 'poll-interval': '2ms', 'job-retention': 'off' },
  });
  const real: Real = { clock, database: app.database, jobs: createJobsClient(app.url) };

  await fc.assert(
    fc.asyncProperty(fc.commands(commands, { maxCommands: 40, size: 'max' }), async (steps) => {
      // One server for all runs, since starting one takes as long as ten of them; nothing of a run is left to the next.
      await emptyTables(app.database);
      await fc.asyncModelRun(() => ({ model: createModel(clock.now().getTime()), real }), steps);
      await expectAllNoted(app.database);
    }),
    { numRuns: asOften(50), endOnFailure: false },
  );
});
