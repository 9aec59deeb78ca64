import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createManualClock } from '../../../src/platform/clock.js';
import { bearer, makeToken } from '../../access/support/tokens.js';
import { startTestApp } from '../../support/app.js';
import { asOften } from '../../support/effort.js';
import { useGitRepos } from '../../support/git-repos.js';
import { createHelpClient, type RestHelp } from '../../support/help-client.js';
import { RefusedError } from '../../support/jobs-client.js';
import { createTasksClient, registerRepo, type RestTask } from '../../support/tasks-client.js';
import { until } from '../../support/until.js';
import { expectCounted, ledgerOf } from '../tasks/support/task-ledger.js';
import { expectHelpReduced } from './support/help-ledger.js';

const repos = useGitRepos();
const deadlineSec = 60;

/** The rules of help on one task, told once more in the plainest way. */
interface Model {
  status: RestTask['status'];
  /** Newest first. */
  requests: { from: RestTask['status']; status: RestHelp['status']; hasDeadline: boolean; byDefault: boolean }[];
}

const verbs = ['ask', 'ask', 'ask', 'respond', 'respond', 'resume', 'resume', 'cancel', 'complete', 'wait'] as const;
const settable = ['Pending', 'InProgress', 'AwaitingHuman', 'Completed', 'Cancelled'] as const;
type Op =
  | { readonly do: (typeof verbs)[number]; readonly by: 'human' | 'agent'; readonly hasDeadline: boolean }
  | { readonly do: 'set'; readonly by: 'human' | 'agent'; readonly status: RestTask['status'] };

const by = fc.constantFrom('human' as const, 'human' as const, 'human' as const, 'agent' as const);
const ops: fc.Arbitrary<Op> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom(...verbs), by, hasDeadline: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('set' as const), by, status: fc.constantFrom(...settable) }) },
);

/** Does it, unless it is refused. Answers the error word, or `ok`. */
function apply(model: Model, op: Op): string {
  const [open] = model.requests.filter(({ status }) => status === 'Pending' || status === 'Responded');
  const forHumans = ['respond', 'resume', 'complete', 'set'];
  if (op.by === 'agent' && forHumans.includes(op.do)) return 'forbidden';
  const isDone = model.status === 'Completed' || model.status === 'Cancelled';
  const move = (to: RestTask['status']): string => {
    if (open !== undefined) open.status = 'Cancelled';
    model.status = to;
    return 'ok';
  };
  switch (op.do) {
    case 'ask':
      if (open !== undefined) return 'conflict';
      if (isDone) return 'invalid_state';
      model.requests.unshift({ from: model.status, status: 'Pending', hasDeadline: op.hasDeadline, byDefault: false });
      model.status = 'AwaitingHuman';
      return 'ok';
    case 'respond':
      if (model.requests.length === 0) return 'not_found';
      if (model.requests[0]?.status !== 'Pending') return 'invalid_state';
      model.requests[0].status = 'Responded';
      return 'ok';
    case 'resume':
      if (open?.status !== 'Responded') return 'invalid_state';
      open.status = 'Resolved';
      model.status = open.from;
      return 'ok';
    case 'wait':
      if (open?.status === 'Pending' && open.hasDeadline) {
        Object.assign(open, { status: 'Resolved', byDefault: true });
        model.status = open.from;
      }
      return 'ok';
    case 'cancel':
      return model.status === 'Completed' ? 'invalid_state' : move('Cancelled');
    case 'complete':
      return isDone ? 'invalid_state' : move('Completed');
    case 'set':
      if (op.status === model.status) return 'ok';
      return op.status === 'AwaitingHuman' ? 'invalid_state' : move(op.status);
  }
}

test(
  'whatever is asked, answered and done meanwhile, help is as the model says',
  { timeout: asOften(60_000) },
  async () => {
    const clock = createManualClock(new Date('2026-01-31T12:00:00Z'));
    const app = await startTestApp({ clock, flags: { 'poll-interval': '5ms' } });
    const { url } = app;
    const human = await makeToken(app, { role: 'human' });
    const repo_id = await registerRepo(url, repos.repo(), bearer(human));
    const humans = { tasks: createTasksClient(url, bearer(human)), help: createHelpClient(url, bearer(human)) };
    const agent = bearer(
      await makeToken(app, { role: 'agent', capabilities: ['help.request', 'tasks.execute'] }, human),
    );
    const agents = { tasks: createTasksClient(url, agent), help: createHelpClient(url, agent) };

    async function perform(id: string, op: Op): Promise<void> {
      const { tasks, help } = op.by === 'human' ? humans : agents;
      switch (op.do) {
        case 'ask':
          await help.ask(id, op.hasDeadline ? { deadline_sec: deadlineSec, default_response: 'Go.' } : {});
          break;
        case 'respond':
          await help.respond((await help.list(id))[0]?.id ?? 'help_none');
          break;
        case 'resume':
          await help.resume(id);
          break;
        case 'wait':
          clock.advance(deadlineSec * 1000);
          await until('no deadline has been missed', async () => {
            const open = await help.active(id);
            return open?.status !== 'Pending' || open.deadline_at === null;
          });
          break;
        case 'cancel':
          await tasks.cancel(id);
          break;
        case 'complete':
          await tasks.complete(id);
          break;
        case 'set':
          await tasks.setStatus(id, op.status);
      }
    }

    const ids: string[] = [];
    await fc.assert(
      fc.asyncProperty(fc.array(ops, { minLength: 5, maxLength: 20, size: 'max' }), async (steps) => {
        const { id } = await humans.tasks.create({ repo_id });
        ids.push(id);
        const model: Model = { status: 'Pending', requests: [] };
        for (const op of steps) {
          const word = await perform(id, op).then(
            () => 'ok',
            (error: unknown) => (error instanceof RefusedError ? error.body.error : Promise.reject(error as Error)),
          );
          expect(word).toBe(apply(model, op));
          expect((await humans.tasks.get(id)).task.status).toBe(model.status);
        }
        const listed = await humans.help.list(id);
        expect(
          listed.map(({ from_status, status, answered_by_default }) => [from_status, status, answered_by_default]),
        ).toEqual(model.requests.map(({ from, status, byDefault }) => [from, status, byDefault]));
        const isWaiting = model.status === 'AwaitingHuman';
        expect((await humans.tasks.get(id)).help_request).toEqual(isWaiting ? listed[0] : null);
      }),
      { numRuns: asOften(12), endOnFailure: true },
    );
    await expectCounted(app.database);
    await expectHelpReduced(humans.help, await ledgerOf(url, repo_id, bearer(human)), ids);
  },
);
