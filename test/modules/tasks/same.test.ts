import type { DescMessage, Message } from '@bufbuild/protobuf';
import { beforeAll, expect, test } from 'vitest';
import { restShape } from '../../../src/cli/job-json.js';
import {
  createMusterClient,
  errorFactsOf,
  type MusterClient,
  TaskKind,
  TaskProgressSchema,
  TaskSchema,
  TaskStatus,
  TaskTreeSchema,
  TaskWithContextSchema,
} from '../../../src/client/index.js';
import { useGitRepos } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { createTasksClient, registerRepo, type TasksClient } from '../../support/tasks-client.js';

/** REST and RPC answer the same, nulls included. */
const app = sharedTestApp();
const repos = useGitRepos();
let tasks: TasksClient;
const clients: MusterClient[] = [];

beforeAll(() => {
  const { url } = app.current;
  tasks = createTasksClient(url);
  clients.push(createMusterClient({ url }), createMusterClient({ url, protocol: 'grpc' }));
  return () => clients.forEach((client) => client.close());
});

function shape(desc: DescMessage, message: Message | undefined): unknown {
  return message && restShape(desc, message);
}

test('what is read', async () => {
  const repoId = await registerRepo(app.current.url, repos.repo());
  const top = await tasks.create({ repo_id: repoId, kind: 'Milestone', context: 'é' });
  const one = await tasks.create({ repo_id: repoId, parent_id: top.id });
  await tasks.create({ repo_id: repoId, parent_id: top.id, blocked_by: [one.id] });
  await tasks.start(one.id);
  await tasks.submit(one.id, { allow_empty: true });
  for (const client of clients) {
    for (const { id } of [top, one]) {
      expect(shape(TaskWithContextSchema, (await client.tasks.getTask({ id })).task)).toEqual(await tasks.get(id));
    }
    const filter = { repoId, kind: [TaskKind.TASK], status: [TaskStatus.PENDING, TaskStatus.IN_REVIEW], limit: 1 };
    const page = await client.tasks.listTasks(filter);
    const same = await tasks.list(`?repo_id=${repoId}&kind=Task&status=Pending&status=InReview&limit=1`);
    expect(page.tasks.map((task) => shape(TaskSchema, task))).toEqual(same.tasks);
    expect(same.next).toContain(`cursor=${page.nextCursor}`);
    const { trees } = await client.tasks.getTaskTree({ repoId });
    expect(trees.map((tree) => shape(TaskTreeSchema, tree))).toEqual(await tasks.tree(`?repo_id=${repoId}`));
    const { progress } = await client.tasks.getTaskProgress({ rootId: top.id });
    expect(shape(TaskProgressSchema, progress)).toEqual(await tasks.progress(`?root_id=${top.id}`));
    expect((await client.tasks.getNextReadyTask({ repoId })).task).toBeUndefined();
    expect((await client.tasks.claimNextTask({ repoId })).task).toBeUndefined();
  }
  expect(await tasks.nextReady(`?repo_id=${repoId}`)).toBeNull();
});

test('what is changed and refused', async () => {
  const repoId = await registerRepo(app.current.url, repos.repo());
  for (const client of clients) {
    const input = { repoId, kind: TaskKind.TASK, description: 'd', context: 'c', priority: 0 };
    const { task } = await client.tasks.createTask(input);
    const id = task?.id ?? '';
    expect(shape(TaskSchema, task)).toEqual((await tasks.get(id)).task);
    // Over RPC an empty text clears, and what is left out stays.
    const { task: patched } = await client.tasks.updateTask({ id, context: '' });
    expect(shape(TaskSchema, patched)).toMatchObject({ description: 'd', context: null, priority: 0 });
    const facts = await client.tasks
      .blockTask({ id, blockerId: id })
      .catch((error: unknown) => errorFactsOf(error as Error));
    const { error, message } = await refusal(tasks.block(id, id));
    expect(facts).toMatchObject({ word: error, message });
    expect((await client.tasks.deleteTask({ id })).ok).toBe(true);
  }
});
