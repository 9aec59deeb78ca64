import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { asOften } from '../../support/effort.js';
import { createGatesClient, type GatesClient } from '../../support/gates-client.js';
import { useGitRepos } from '../../support/git-repos.js';
import { createHelpClient } from '../../support/help-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';
import { illegal } from './support/gate-ledger.js';
import {
  apply,
  effective,
  type Fate,
  gateOf,
  type GateModel,
  lastRound,
  type ModelTask,
  type Move,
  moves,
  newModel,
  type Outcome,
  type Place,
  places,
  type Step,
  type TaskName,
} from './support/gate-model.js';
import { expectReduced, lastReview, perform, setStage, type Stage } from './support/gate-stage.js';

const repos = useGitRepos();

const on = fc.constantFrom<TaskName>('a', 'a', 'b');
const maxRetries = fc.integer({ min: 0, max: 3 });
const fate = {
  outcomes: fc.array(fc.constantFrom<Outcome>(0, 0, 0, 1, 'killed'), { minLength: 1, maxLength: 3 }),
  held: fc.boolean(),
};
const adding = fc.record({ do: fc.constant('add' as const), at: fc.constantFrom<Place>(...places), maxRetries });
const changing = fc.oneof(
  adding,
  fc.record({ do: fc.constant('remove' as const), gate: fc.nat({ max: 9 }) }),
  fc.record({ do: fc.constant('update' as const), gate: fc.nat({ max: 9 }), maxRetries }),
);
const deciding = fc.record({
  do: fc.constantFrom<'submit' | 'rerun' | 'approve'>('submit', 'submit', 'submit', 'rerun', 'approve'),
  on,
  ...fate,
});
const moving = fc.record({
  do: fc.constantFrom<Move>(...([...moves, 'release', 'release', 'request', 'reopen'] as const)),
  on,
});
const step = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 2, arbitrary: changing },
  { weight: 4, arbitrary: deciding },
  { weight: 4, arbitrary: moving },
);
/** A life begins with gates that are to be passed. */
const life = fc
  .tuple(
    fc.array(adding, { minLength: 2, maxLength: 4 }),
    deciding.map((what): Step => ({ ...what, do: 'submit' })),
    fc.array(step, { minLength: 12, maxLength: 20, size: 'max' }),
  )
  .map(([gates, first, rest]): Step[] => [...gates, first, ...rest]);

const passing: Fate = { outcomes: [0], held: false };
const failing: Fate = { outcomes: [0, 1, 'killed'], held: false };
const held = (...outcomes: readonly Outcome[]): Fate => ({ outcomes, held: true });

/** A life in which each rule is met at least once, so that it does not take luck. */
const telling: Step[] = [
  { do: 'add', at: 'repo', maxRetries: 1 },
  { do: 'add', at: 'a', maxRetries: 2 },
  { do: 'add', at: 'milestone', maxRetries: 3 },
  { do: 'submit', on: 'a', ...held(0, 1, 0) },
  { do: 'add', at: 'repo', maxRetries: 0 },
  { do: 'update', gate: 1, maxRetries: 0 },
  { do: 'remove', gate: 2 },
  { do: 'add', at: 'b', maxRetries: 3 },
  { do: 'approve', on: 'a', ...passing },
  { do: 'request', on: 'a' },
  { do: 'rerun', on: 'a', ...passing },
  { do: 'wait', on: 'a' },
  { do: 'release', on: 'a' },
  { do: 'resume', on: 'a' },
  { do: 'submit', on: 'a', ...failing },
  { do: 'submit', on: 'a', ...held(1) },
  { do: 'cancel', on: 'a' },
  { do: 'reopen', on: 'a' },
  { do: 'submit', on: 'a', ...failing },
  { do: 'submit', on: 'b', ...held(1) },
  { do: 'approve', on: 'a', ...passing },
  { do: 'release', on: 'b' },
  { do: 'wait', on: 'b' },
  { do: 'rerun', on: 'b', ...passing },
  { do: 'review', on: 'b' },
  { do: 'move', on: 'b' },
  { do: 'rerun', on: 'b', ...passing },
  { do: 'move', on: 'b' },
  { do: 'approve', on: 'b', ...held(0) },
  { do: 'release', on: 'b' },
  { do: 'approve', on: 'b', ...passing },
  { do: 'move', on: 'b' },
  { do: 'approve', on: 'b', ...held(0) },
  { do: 'force', on: 'b' },
  { do: 'approve', on: 'a', ...passing },
  { do: 'remove', gate: 0 },
];

/** Waits to hear what it is to come to, and comes to that. */
function commandIn(folder: string): string {
  return `until read code 2>/dev/null < '${folder}'/"$MUSTER_REVIEW_ID.$MUSTER_GATE_NAME"; do sleep 0.05; done
    test "$code" != killed || kill -KILL $$; exit "$code"`;
}

/** Says what the gates of a task's last round come to that are not held, and makes those wait that are. */
function tellFates({ fates }: Stage, task: ModelTask, reviewId: string): void {
  for (const { gate, status, outcome } of lastRound(task)) {
    const file = path.join(fates, `${reviewId}.${gate.name}`);
    if (status === 'Pending' || status === 'Cancelled') rmSync(file, { force: true });
    else writeFileSync(file, `${outcome}\n`);
  }
}

/** What there is of a task must be as the model has it, once its gates have come as far. */
async function expectAsModelled(client: GatesClient, { ids }: Stage, model: GateModel, name: TaskName): Promise<void> {
  const task = model.tasks[name];
  const rounds = await client.reviews.list(ids[name]);
  const last = rounds.at(-1);
  const round = lastRound(task);
  if (last !== undefined && round.every(({ status }) => status !== 'Pending')) await client.ended(last.id);
  expect((await client.tasks.get(ids[name])).task.status).toBe(task.status);
  expect((await client.effective(ids[name])).map((gate) => [gate.name, gate.max_retries])).toEqual(
    effective(model, name).map((gate) => [gate.name, gate.maxRetries]),
  );
  const reviews = await client.reviews.list(ids[name]);
  const found = await Promise.all(
    reviews.map(async ({ id, status }) => ({
      status,
      runs: (await client.results(id)).map((run) => ({
        ...{ name: run.name, attempt: run.attempt, round: run.round, exitCode: run.exit_code },
        status: run.status === 'Running' ? 'Pending' : run.status,
      })),
    })),
  );
  const isOver = (status: string): boolean => status !== 'Pending' && status !== 'Cancelled';
  expect(found).toEqual(
    task.reviews.map(({ status, runs }) => ({
      status,
      runs: runs.map((run) => ({
        ...{ name: run.gate.name, attempt: run.attempt, round: run.round, status: run.status },
        exitCode: isOver(run.status) && run.outcome !== 'killed' ? run.outcome : null,
      })),
    })),
  );
}

/** Two servers on one database, which run as many gates as there are. Answers them by turns. */
async function startBoth() {
  const flags = { 'gate-concurrency': '32' };
  const { apps } = await startTestApps({ flags }, { flags });
  const at = (url: string) => ({ client: createGatesClient(url), help: createHelpClient(url) });
  const [one, other] = [at(apps[0].url), at(apps[1].url)];
  return (place: number) => (place % 2 === 0 ? one : other);
}

test(
  'whatever becomes of gates, reviews and tasks are as the model says, and as the ledger tells',
  { timeout: asOften(120_000) },
  async () => {
    const serverAt = await startBoth();
    const { client: reader } = serverAt(0);
    await fc.assert(
      fc.asyncProperty(life, async (steps) => {
        const stage = await setStage(reader, repos);
        const model = newModel();
        for (const [place, what] of steps.entries()) {
          const name = 'gate' in what ? (gateOf(model, what.gate)?.name ?? '') : `g${model.added + 1}`;
          const expected = apply(model, what);
          if (expected === 'none') continue;
          const { client, help } = serverAt(place);
          const tell = async (on: TaskName) =>
            tellFates(stage, model.tasks[on], await lastReview(reader, stage.ids[on]));
          if ((what.do === 'rerun' && expected === 'ok') || (what.do === 'approve' && expected === 'stale')) {
            await tell(what.on);
          }
          const word = await perform(client, help, stage, what, { name, command: commandIn(stage.fates) });
          expect(word, JSON.stringify(what)).toBe(expected);
          if ((what.do === 'submit' || what.do === 'release') && expected === 'ok') await tell(what.on);
          for (const on of 'on' in what ? [what.on] : (['a', 'b'] as const)) {
            await expectAsModelled(client, stage, model, on);
          }
        }
        await expectReduced(reader, stage, await ledgerOf(reader.url, stage.repoId));
        for (const id of [stage.ids.a, stage.ids.b]) await reader.tasks.setStatus(id, 'InProgress');
      }),
      { numRuns: asOften(4), endOnFailure: true, examples: [[telling]] },
    );
  },
);

/** What gates come to that nobody tells. */
const command = fc.constantFrom('true', 'true', 'exit 1', 'kill -KILL $$');
const all = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 3, arbitrary: changing },
  { weight: 5, arbitrary: deciding },
  { weight: 4, arbitrary: moving.filter((what) => what.do !== 'release' && what.do !== 'move') },
);

test(
  'at the same time, on two servers, each step is one that the rules allow at its place',
  { timeout: asOften(120_000) },
  async () => {
    const serverAt = await startBoth();
    const { client: reader } = serverAt(0);
    const begin = fc.array(fc.tuple(adding, command), { minLength: 3, maxLength: 3 });
    const steps = fc.array(fc.tuple(all, command), { minLength: 60, maxLength: 80, size: 'max' });
    await fc.assert(
      fc.asyncProperty(begin, steps, async (first, others) => {
        const stage = await setStage(reader, repos);
        const { milestone, a, b } = stage.ids;
        const waiting = [...first, ...others].entries();
        const act = async (actor: number): Promise<void> => {
          const { client, help } = serverAt(actor);
          for (const [place, [what, shell]] of waiting) {
            const known = [...stage.gateIds.keys()];
            const name = 'gate' in what ? known[what.gate % Math.max(1, known.length)] : `g${place}`;
            if (name === undefined) continue;
            const word = await perform(client, help, stage, what, { name, command: shell });
            expect(['ok', 'conflict', 'not_found', 'invalid_state', 'review_open']).toContain(word);
            const begins = word === 'ok' && (what.do === 'submit' || what.do === 'rerun');
            if (begins) await client.ended(await lastReview(client, stage.ids[what.on]));
          }
        };
        await Promise.all([0, 1, 2, 3].map(act));
        for (const id of [a, b]) {
          const review = await lastReview(reader, id);
          if (review !== '') await reader.ended(review);
        }
        const events = await ledgerOf(reader.url, stage.repoId);
        const lineages = new Map([a, b].map((id) => [id, [stage.repoId, milestone, id]]));
        expect(illegal(events, lineages)).toEqual([]);
        await expectReduced(reader, stage, events);
      }),
      { numRuns: asOften(3), endOnFailure: true },
    );
  },
);
