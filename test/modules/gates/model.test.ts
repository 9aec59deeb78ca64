import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { emptyLedgerState, reduceEvents } from '../../../src/client/index.js';
import { asOften } from '../../support/effort.js';
import { createGatesClient, type GatesClient } from '../../support/gates-client.js';
import { git, useGitRepos } from '../../support/git-repos.js';
import { createHelpClient, type HelpClient } from '../../support/help-client.js';
import { RefusedError } from '../../support/jobs-client.js';
import { registerRepo } from '../../support/tasks-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';
import {
  apply,
  effective,
  type Fate,
  gateOf,
  type GateModel,
  lastRound,
  type ModelTask,
  newModel,
  type Outcome,
  type Place,
  places,
  type Step,
  type TaskName,
} from './support/gate-model.js';

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
  do: fc.constantFrom<Extract<Step, { do: 'release' }>['do']>(
    ...(['release', 'release', 'release', 'request', 'request', 'wait', 'resume', 'cancel', 'force'] as const),
    ...(['reopen', 'reopen', 'review', 'move'] as const),
  ),
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
  { do: 'rerun', on: 'b', ...failing },
  { do: 'move', on: 'b' },
  { do: 'approve', on: 'b', ...held(0) },
  { do: 'force', on: 'b' },
  { do: 'approve', on: 'a', ...passing },
  { do: 'remove', gate: 0 },
];

interface Stage {
  readonly repoId: string;
  readonly ids: Readonly<Record<Exclude<Place, 'repo'>, string>>;
  readonly worktrees: Readonly<Record<TaskName, string>>;
  /** Where gates look for what they are to come to. */
  readonly fates: string;
  readonly gateIds: Map<string, string>;
}

async function setUp({ url, tasks }: GatesClient): Promise<Stage> {
  const repoId = await registerRepo(url, repos.repo());
  const { id: milestone } = await tasks.create({ repo_id: repoId, kind: 'Milestone' });
  const begun = async (): Promise<readonly [id: string, worktree: string]> => {
    const { id } = await tasks.create({ repo_id: repoId, parent_id: milestone });
    await tasks.start(id);
    return [id, (await tasks.get(id)).vcs?.worktree_path ?? ''];
  };
  const [[a, ofA], [b, ofB]] = [await begun(), await begun()];
  const worktrees = { a: ofA, b: ofB };
  return { repoId, ids: { milestone, a, b }, worktrees, fates: repos.folder(), gateIds: new Map() };
}

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

/** Asks a server for what the model has done already. Answers the word of the answer. */
async function perform(
  client: GatesClient,
  help: HelpClient,
  stage: Stage,
  model: GateModel,
  what: Step,
  gate: string,
) {
  const { ids, gateIds, repoId } = stage;
  if (what.do === 'add') {
    const scope =
      what.at === 'repo' ? { type: 'Repo' as const, id: repoId } : { type: 'Task' as const, id: ids[what.at] };
    const input = { name: gate, command: commandIn(stage.fates), max_retries: what.maxRetries };
    gateIds.set(gate, (await client.add(scope, input)).id);
    return;
  }
  if (what.do === 'remove') return client.remove(gateIds.get(gate) ?? '');
  if (what.do === 'update') return client.update(gateIds.get(gate) ?? '', { max_retries: what.maxRetries });
  const id = ids[what.on];
  const task = model.tasks[what.on];
  const last = async (): Promise<string> => (await client.reviews.list(id)).at(-1)?.id ?? '';
  switch (what.do) {
    case 'submit':
      await client.tasks.submit(id, { allow_empty: true });
      return tellFates(stage, task, await last());
    case 'release':
      return tellFates(stage, task, await last());
    case 'approve':
      return client.reviews.approve(await last());
    case 'rerun':
      return client.rerun(await last());
    case 'request':
      return client.reviews.requestChanges(await last());
    case 'wait':
      return help.ask(id);
    case 'resume':
      await help.respond((await help.active(id))?.id ?? '');
      return help.resume(id);
    case 'cancel':
      return client.tasks.cancel(id);
    case 'force':
      return client.tasks.complete(id);
    case 'reopen':
      return client.tasks.setStatus(id, 'InProgress');
    case 'review':
      return client.tasks.setStatus(id, 'InReview');
    case 'move':
      git(stage.worktrees[what.on], 'commit', '--quiet', '--allow-empty', '--message=Moved');
      return;
  }
}

async function wordOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'ok';
  } catch (error) {
    if (error instanceof RefusedError) return error.body.error;
    throw error;
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

/** The reducer must make the rows that the server has, of its ledger alone. */
async function expectReduced(client: GatesClient, { repoId, ids }: Stage): Promise<void> {
  const state = reduceEvents(emptyLedgerState({ filtered: true }), await ledgerOf(client.url, repoId));
  const lists = await Promise.all([
    client.list('repo', repoId),
    ...Object.values(ids).map((id) => client.list('task', id)),
  ]);
  const byId = (one: { readonly id: string }, other: { readonly id: string }) => (one.id < other.id ? -1 : 1);
  expect([...state.gates.values()].sort(byId)).toEqual(lists.flat().sort(byId));
  for (const review of [...(await client.reviews.list(ids.a)), ...(await client.reviews.list(ids.b))]) {
    const results = (await client.results(review.id)).map(({ stdout: _, stderr: __, ...rest }) => rest);
    expect(state.gateResults.get(review.id) ?? []).toEqual(results);
    expect(state.reviews.get(review.id)).toEqual(review);
  }
}

test(
  'whatever becomes of gates, reviews and tasks are as the model says, and as the ledger tells',
  { timeout: asOften(120_000) },
  async () => {
    const flags = { 'gate-concurrency': '32' };
    const { apps } = await startTestApps({ flags }, { flags });
    const clients = apps.map(({ url }) => createGatesClient(url));
    const helps = apps.map(({ url }) => createHelpClient(url));
    const [client, help] = [clients[0], helps[0]];
    if (client === undefined || help === undefined) throw new Error('there is no server');
    await fc.assert(
      fc.asyncProperty(life, async (steps) => {
        const stage = await setUp(client);
        const model = newModel();
        for (const [place, what] of steps.entries()) {
          const gate = 'gate' in what ? gateOf(model, what.gate)?.name : `g${model.added + 1}`;
          const expected = apply(model, what);
          if (expected === 'none') continue;
          const begins = (what.do === 'rerun' && expected === 'ok') || expected === 'stale';
          if (begins && 'on' in what) {
            const reviews = await client.reviews.list(stage.ids[what.on]);
            tellFates(stage, model.tasks[what.on], reviews.at(-1)?.id ?? '');
          }
          const [by = client, asker = help] = [clients[place % apps.length], helps[place % apps.length]];
          const word = await wordOf(Promise.resolve(perform(by, asker, stage, model, what, gate ?? '')));
          expect(word, JSON.stringify(what)).toBe(expected);
          for (const name of 'on' in what ? [what.on] : (['a', 'b'] as const)) {
            await expectAsModelled(by, stage, model, name);
          }
        }
        await expectReduced(client, stage);
        for (const name of ['a', 'b'] as const) await client.tasks.cancel(stage.ids[name]).catch(() => undefined);
      }),
      { numRuns: asOften(4), endOnFailure: true, examples: [[telling]] },
    );
  },
);
