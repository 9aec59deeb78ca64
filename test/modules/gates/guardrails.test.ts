import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { bearer, makeToken, type TestToken } from '../../access/support/tokens.js';
import { createGatesClient, type GatesClient } from '../../support/gates-client.js';
import { useGitRepos } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { registerRepo } from '../../support/tasks-client.js';

/** Who decides what while a review has gates; that agents read gates by `gates.read` and never write them stands in test/access/roles.tsv. */
const app = sharedTestApp();
const repos = useGitRepos();
let owner: TestToken;
let human: GatesClient;

beforeAll(async () => {
  owner = await makeToken(app.current, { role: 'human' });
  human = createGatesClient(app.current.url, bearer(owner));
});

async function agent(...capabilities: readonly string[]): Promise<GatesClient> {
  return createGatesClient(
    app.current.url,
    bearer(await makeToken(app.current, { role: 'agent', capabilities }, owner)),
  );
}

/** A review whose gate fails for good once it is let go. */
async function submitted(by = human) {
  const root = repos.repo();
  const { id } = await human.tasks.create({ repo_id: await registerRepo(app.current.url, root, bearer(owner)) });
  const ready = path.join(root, 'ready.log');
  const command = `until test -e '${ready}'; do sleep 0.02; done; exit 1`;
  const gate = await human.add({ type: 'Task', id }, { command, max_retries: 0 });
  await by.tasks.start(id);
  await by.tasks.submit(id, { allow_empty: true });
  const review = await human.reviews.active(id);
  return { taskId: id, gate, reviewId: review?.id ?? '', letGo: () => writeFileSync(ready, '') };
}

const decisions = ['approve', 'requestChanges'] as const;

test('while gates are to run nobody decides', async () => {
  const { reviewId, letGo } = await submitted();
  const reviewer = await agent('reviews.agent', 'gates.read');
  const before = await human.reviews.get(reviewId);
  for (const client of [human, reviewer]) {
    for (const decide of decisions) {
      expect(await refusal(client.reviews[decide](reviewId))).toMatchObject({
        ...{ error: 'invalid_state', details: { from: 'GatesPending', allowed: [] } },
      });
    }
  }
  expect(await refusal(human.rerun(reviewId))).toMatchObject({
    ...{ error: 'invalid_state', details: { from: 'GatesPending', to: 'GatesPending' } },
  });
  expect(await human.reviews.get(reviewId)).toEqual(before);
  letGo();
  expect((await human.ended(reviewId)).review.status).toBe('GatesEscalated');
});

test('what has failed too often is for a human, whatever an agent may do', async () => {
  const worker = await agent('tasks.execute', 'gates.read');
  const { reviewId, gate, taskId, letGo } = await submitted(worker);
  letGo();
  const { review, results } = await human.ended(reviewId);
  const all = await agent(
    'tasks.execute',
    'reviews.agent',
    'gates.read',
    'help.request',
    'learnings.write',
    'jobs.work',
  );
  for (const decide of decisions) {
    expect(await refusal(all.reviews[decide](reviewId))).toMatchObject({
      ...{ error: 'forbidden', code: 403, details: { rule: 'agent_phase_only', status: 'GatesEscalated' } },
    });
    // It has done the work besides.
    expect(await refusal(worker.reviews[decide](reviewId))).toMatchObject({ error: 'forbidden' });
  }
  for (const client of [all, worker]) {
    for (const call of [
      () => client.rerun(reviewId),
      () => client.update(gate.id, { command: 'true' }),
      () => client.remove(gate.id),
      () => client.add({ type: 'Task', id: taskId }, { name: 'more' }),
      () => client.tasks.setStatus(taskId, 'InProgress'),
      () => client.tasks.complete(taskId),
      () => client.tasks.remove(taskId),
    ]) {
      expect(await refusal(call())).toMatchObject({ error: 'forbidden', code: 403 });
    }
    expect(await client.results(reviewId)).toEqual(results);
    expect(await client.effective(taskId)).toEqual([gate]);
  }
  expect(await human.reviews.get(reviewId)).toEqual(review);
  expect((await human.tasks.get(taskId)).task.status).toBe('InReview');

  // Then all phases are to come that there are without gates.
  expect((await human.reviews.approve(reviewId)).status).toBe('AgentPending');
  expect(await refusal((await agent('tasks.execute')).reviews.approve(reviewId))).toMatchObject({ error: 'forbidden' });
  expect((await all.reviews.approve(reviewId)).status).toBe('HumanPending');
  expect(await refusal(all.reviews.approve(reviewId))).toMatchObject({ details: { rule: 'agent_phase_only' } });
  expect((await human.reviews.approve(reviewId)).status).toBe('Approved');
});
