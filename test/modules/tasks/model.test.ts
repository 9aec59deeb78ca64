import fc from 'fast-check';
import { expect, test } from 'vitest';
import { startTestApp } from '../../support/app.js';
import { asOften } from '../../support/effort.js';
import { useGitRepos } from '../../support/git-repos.js';
import { createTasksClient, registerRepo } from '../../support/tasks-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { allTasks, expectCounted, expectReduced, replay } from './support/task-ledger.js';
import {
  apply,
  hasCycle,
  nextReady,
  progress,
  type TaskModel,
  told,
  visible,
  withBelow,
} from './support/task-model.js';
import { choices, perform, planted } from './support/task-ops.js';

const repos = useGitRepos();

test(
  'whatever is done to tasks, they are as the model says, and as the ledger tells',
  { timeout: asOften(120_000) },
  async () => {
    const { url, database } = await startTestApp();
    const tasks = createTasksClient(url);
    await fc.assert(
      fc.asyncProperty(fc.array(choices, { maxLength: 30, size: 'max' }), async (steps) => {
        const repoId = await registerRepo(url, repos.repo());
        const model: TaskModel = new Set();
        for (const [place, { choose }] of [...planted, ...steps].entries()) {
          const op = choose(model);
          if (op === undefined) continue;
          const { word, id } = await perform(tasks, repoId, op);
          expect(word).toBe(apply(model, op, id));
          if (place < planted.length) continue;
          const listed = await allTasks(tasks, repoId);
          expect(listed.map(told)).toEqual([...model].map((task) => visible(model, task)));
          expect((await tasks.nextReady(`?repo_id=${repoId}`))?.task.id).toBe(nextReady(model));
        }
        expect(await tasks.progress(`?repo_id=${repoId}`)).toEqual(progress(model, [...model]));
        for (const task of [...model].slice(0, 5)) {
          expect(await tasks.progress(`?root_id=${task.id}`)).toEqual(progress(model, withBelow(model, task)));
        }
        await expectReduced(tasks, repoId);
        await expectCounted(database);
      }),
      { numRuns: asOften(8), endOnFailure: true },
    );
  },
);

test(
  'at the same time, on two servers, each change is one that the rules allow at its place',
  { timeout: asOften(120_000) },
  async () => {
    const { apps, database } = await startTestApps({}, {});
    const clients = apps.map(({ url }) => createTasksClient(url));
    const [tasks = createTasksClient('')] = clients;
    await fc.assert(
      fc.asyncProperty(fc.array(choices, { minLength: 60, maxLength: 120, size: 'max' }), async (steps) => {
        const repoId = await registerRepo(tasks.url, repos.repo());
        const seen: TaskModel = new Set();
        const waiting = [...planted, ...steps].values();
        // Each chooses among what the ones before it have made, and goes on at once.
        const actor = async (index: number): Promise<void> => {
          for (const { choose } of waiting) {
            const op = choose(seen);
            const client = clients[index % clients.length];
            if (op === undefined || client === undefined) continue;
            const { word, id } = await perform(client, repoId, op);
            if (word === 'ok' && op.do === 'create')
              seen.add({ ...op, id, description: '', context: null, status: 'Pending', blockers: new Set() });
            expect(['ok', 'not_found', 'invalid_request', 'invalid_state', 'children_open', 'cycle']).toContain(word);
          }
        };
        await Promise.all(Array.from({ length: 8 }, (_, index) => actor(index)));

        const events = await expectReduced(tasks, repoId);
        const model: TaskModel = new Set();
        expect(replay(model, events)).toEqual([]);
        expect(hasCycle(model)).toBe(false);
        expect((await allTasks(tasks, repoId)).map(told)).toEqual([...model].map((task) => visible(model, task)));
        await expectCounted(database);
      }),
      { numRuns: asOften(4), endOnFailure: true },
    );
  },
);
