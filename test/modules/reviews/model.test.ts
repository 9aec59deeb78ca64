import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bearer, makeToken, type TestToken } from '../../access/support/tokens.js';
import type { TestApp } from '../../support/app.js';
import { asOften } from '../../support/effort.js';
import { git, useGitRepos } from '../../support/git-repos.js';
import { createHelpClient, type HelpClient } from '../../support/help-client.js';
import { RefusedError } from '../../support/jobs-client.js';
import { createReviewsClient, type ReviewsClient } from '../../support/reviews-client.js';
import { registerRepo } from '../../support/tasks-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { ledgerOf } from '../tasks/support/task-ledger.js';
import { expectReduced, illegal } from './support/review-ledger.js';
import { type Actor, apply, isFinal, newModel, type Step } from './support/review-model.js';

const repos = useGitRepos();

const actor = fc.constantFrom<Actor>('human', 'human', 'reviewer', 'reviewer', 'doer', 'bound');
/** Mostly the present round. */
const round = fc.oneof({ weight: 4, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat({ max: 5 }) });
const judging = fc.record({
  do: fc.constantFrom<'approve' | 'request' | 'comment' | 'resolve'>(
    ...(['approve', 'approve', 'approve', 'request', 'comment', 'resolve'] as const),
  ),
  by: actor,
  round,
});
const submitting = fc.record({ do: fc.constant('submit' as const), by: fc.constantFrom('human', 'human', 'doer') });
const other = fc.record({
  do: fc.constantFrom<'move' | 'wait' | 'resume' | 'cancel' | 'force' | 'reopen'>(
    ...(['move', 'move', 'move', 'wait', 'resume', 'resume', 'cancel', 'force', 'reopen', 'reopen'] as const),
  ),
});
const step = fc.oneof<fc.WeightedArbitrary<Step>[]>(
  { weight: 7, arbitrary: judging },
  { weight: 3, arbitrary: submitting as fc.Arbitrary<Step> },
  { weight: 2, arbitrary: other },
);

/** A life in which each rule is met at least once, so that it does not take luck. */
const telling: Step[] = [
  { do: 'comment', by: 'reviewer', round: -1 },
  { do: 'move' },
  { do: 'approve', by: 'human', round: -1 },
  { do: 'request', by: 'reviewer', round: -1 },
  { do: 'resolve', by: 'human', round: 0 },
  { do: 'submit', by: 'doer' },
  { do: 'approve', by: 'doer', round: -1 },
  { do: 'approve', by: 'bound', round: -1 },
  { do: 'approve', by: 'reviewer', round: 0 },
  { do: 'approve', by: 'reviewer', round: -1 },
  { do: 'approve', by: 'reviewer', round: -1 },
  { do: 'wait' },
  { do: 'approve', by: 'human', round: -1 },
  { do: 'comment', by: 'human', round: -1 },
  { do: 'resume' },
  { do: 'approve', by: 'human', round: -1 },
  { do: 'request', by: 'human', round: -1 },
];

interface Stage {
  readonly id: string;
  readonly repoId: string;
  readonly worktree: string;
  readonly bound: TestToken;
}

/** Tokens for everybody, and tasks that have been started. */
async function setUp(app: TestApp) {
  const owner = await makeToken(app, { role: 'human' });
  const agent = (input: object) => makeToken(app, { role: 'agent', ...input }, owner);
  const reviewer = await agent({ capabilities: ['reviews.agent'] });
  const doer = await agent({ capabilities: ['reviews.agent', 'tasks.execute'] });
  const human = createReviewsClient(app.url, bearer(owner));
  const repoId = await registerRepo(app.url, repos.repo(), bearer(owner));
  async function stage(): Promise<Stage> {
    const { id } = await human.tasks.create({ repo_id: repoId });
    await human.tasks.start(id);
    const worktree = (await human.tasks.get(id)).vcs?.worktree_path ?? '';
    return { id, repoId, worktree, bound: await agent({ capabilities: ['reviews.agent'], task_id: id }) };
  }
  const clientsAt = (url: string, bound: TestToken): Record<Actor, ReviewsClient> => ({
    human: createReviewsClient(url, bearer(owner)),
    reviewer: createReviewsClient(url, bearer(reviewer)),
    doer: createReviewsClient(url, bearer(doer)),
    bound: createReviewsClient(url, bearer(bound)),
  });
  const ledger = async (id: string) =>
    (await ledgerOf(app.url, repoId, bearer(owner))).filter(({ task_id }) => task_id === id);
  return { stage, clientsAt, ledger, human, doer, help: createHelpClient(app.url, bearer(owner)) };
}

const somebody = ['-c', 'user.name=x', '-c', 'user.email=x@example.org'];
let files = 0;

/** Asks a server for it. Answers the word of the answer; `none` when there is nothing that it could be asked of. */
async function perform(as: Record<Actor, ReviewsClient>, { id, worktree }: Stage, what: Step): Promise<string> {
  try {
    switch (what.do) {
      case 'submit':
        await as[what.by].submit(id, { f: `${(files += 1)}\n` });
        break;
      case 'move':
        git(worktree, ...somebody, 'commit', '--quiet', '--allow-empty', '--message=Moved');
        break;
      case 'cancel':
        await as.human.tasks.cancel(id);
        break;
      case 'force':
        await as.human.tasks.complete(id);
        break;
      case 'reopen':
        await as.human.tasks.setStatus(id, 'InProgress');
        break;
      case 'wait':
      case 'resume':
        throw new Error(`only help can ${what.do}`);
      default: {
        const rounds = await as.human.list(id);
        const review = rounds.at(what.round < 0 ? -1 : what.round % Math.max(1, rounds.length));
        if (review === undefined) return 'none';
        const remark = { file_path: 'f', side: 'Right', body: 'b', line_start: 1 };
        const by = as[what.by];
        if (what.do === 'approve') await by.approve(review.id, { head_commit: review.head_commit });
        else if (what.do === 'comment') await by.comment(review.id, remark);
        else if (what.do === 'request') await by.requestChanges(review.id, { comments: [remark] });
        else {
          const comments = await by.comments(review.id);
          const comment = comments.find(({ resolved_at }) => resolved_at === null) ?? comments[0];
          if (comment === undefined) return 'none';
          await by.resolve(comment.id);
        }
      }
    }
    return 'ok';
  } catch (error) {
    if (error instanceof RefusedError) return error.body.error;
    throw error;
  }
}

test(
  'whatever reviewers do, reviews are as the model says, and as the ledger tells',
  { timeout: asOften(60_000) },
  async () => {
    const { apps } = await startTestApps({}, {});
    const [first] = apps;
    const { stage, clientsAt, ledger, human, help } = await setUp(first);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 16, size: 'max' }), async (steps) => {
        const task = await stage();
        const model = newModel();
        const begin: Step = { do: 'submit', by: 'human' };
        for (const [place, what] of [begin, ...steps].entries()) {
          const as = clientsAt(apps[place % apps.length]?.url ?? '', task.bound);
          const before = model.status;
          const expected = apply(model, resolved(what, model.rounds.length));
          if (what.do !== 'wait' && what.do !== 'resume') {
            expect(await perform(as, task, what), JSON.stringify(what)).toBe(expected);
          } else if (model.status !== before) await (what.do === 'wait' ? help.ask(task.id) : answer(help, task.id));
          const { task: present, review } = await human.tasks.get(task.id);
          const open = model.rounds.find((each) => !isFinal(each));
          expect([present.status, review?.status]).toEqual([model.status, open?.status]);
        }
        const rounds = await human.list(task.id);
        expect(rounds.map(({ status }) => status)).toEqual(model.rounds.map(({ status }) => status));
        const said = await Promise.all(rounds.map(({ id }) => human.comments(id)));
        const isResolved = said.map((comments) => comments.map(({ resolved_at }) => resolved_at !== null));
        expect(isResolved).toEqual(model.rounds.map(({ comments }) => comments));
        await expectReduced(human, task.id, await ledger(task.id));
      }),
      { numRuns: asOften(4), endOnFailure: true, examples: [[telling]] },
    );
  },
);

async function answer(help: HelpClient, taskId: string): Promise<void> {
  const asked = await help.active(taskId);
  await help.respond(asked?.id ?? '');
  await help.resume(taskId);
}

/** With the present round by its number. */
function resolved(what: Step, count: number): Step {
  return 'round' in what && what.round < 0 ? { ...what, round: Math.max(0, count - 1) } : what;
}

test(
  'at the same time, on two servers, each step is one that the rules allow at its place',
  { timeout: asOften(60_000) },
  async () => {
    const { apps } = await startTestApps({}, {});
    const [first] = apps;
    const { stage, clientsAt, ledger, human, doer } = await setUp(first);
    await fc.assert(
      fc.asyncProperty(fc.array(judging, { minLength: 12, maxLength: 20, size: 'max' }), async (steps) => {
        const task = await stage();
        const waiting = steps.values();
        await human.submit(task.id, { f: '0\n' });
        const act = async (index: number): Promise<void> => {
          const as = clientsAt(apps[index % apps.length]?.url ?? '', task.bound);
          for (const what of waiting) {
            const word = await perform(as, task, what);
            expect(['ok', 'none', 'forbidden', 'invalid_state']).toContain(word);
            if (what.do === 'request' && word === 'ok') await perform(as, task, { do: 'submit', by: 'doer' });
          }
        };
        await Promise.all([0, 1, 2, 3].map(act));
        const events = await ledger(task.id);
        const worked = events.some(({ type, actor: { id } }) => type === 'TaskSubmitted' && id === doer.id);
        const began = events.findIndex(({ type, actor: { id } }) => type === 'TaskSubmitted' && id === doer.id);
        expect(illegal(events, new Set([task.bound.id]))).toEqual([]);
        if (worked) expect(events.slice(began).filter(byReviewer(doer.id))).toEqual([]);
        await expectReduced(human, task.id, events);
        expect(
          (await human.list(task.id)).filter(({ status }) => status.endsWith('Pending')).length,
        ).toBeLessThanOrEqual(1);
      }),
      { numRuns: asOften(2), endOnFailure: true },
    );
  },
);

function byReviewer(id: string) {
  return ({ type, actor }: { readonly type: string; readonly actor: { readonly id: string } }): boolean =>
    actor.id === id && /^(Review(Phase|Approved)|Comment|Changes)/.test(type);
}
