import { expect } from 'vitest';
import { emptyLedgerState, type LedgerEvent, reduceEvents } from '../../../../src/client/index.js';
import type { GatesClient } from '../../../support/gates-client.js';
import { git, type GitRepos } from '../../../support/git-repos.js';
import type { HelpClient } from '../../../support/help-client.js';
import { RefusedError } from '../../../support/jobs-client.js';
import { registerRepo } from '../../../support/tasks-client.js';
import type { Place, Step, TaskName } from './gate-model.js';

/** A repository with a milestone and two tasks below it that are started. */
export interface Stage {
  readonly repoId: string;
  readonly ids: Readonly<Record<Exclude<Place, 'repo'>, string>>;
  readonly worktrees: Readonly<Record<TaskName, string>>;
  /** Where gates look for what they are to come to. */
  readonly fates: string;
  /** By the names of gates, those that are removed included. */
  readonly gateIds: Map<string, string>;
}

export async function setStage({ url, tasks }: GatesClient, repos: GitRepos): Promise<Stage> {
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

export async function lastReview({ reviews }: GatesClient, taskId: string): Promise<string> {
  return (await reviews.list(taskId)).at(-1)?.id ?? '';
}

/** Asks a server for a step. Answers the word of the answer. */
export async function perform(
  client: GatesClient,
  help: HelpClient,
  stage: Stage,
  what: Step,
  gate: { readonly name: string; readonly command: string },
): Promise<string> {
  try {
    await act(client, help, stage, what, gate);
    return 'ok';
  } catch (error) {
    if (error instanceof RefusedError) return error.body.error;
    throw error;
  }
}

async function act(
  client: GatesClient,
  help: HelpClient,
  { repoId, ids, worktrees, gateIds }: Stage,
  what: Step,
  { name, command }: { readonly name: string; readonly command: string },
): Promise<unknown> {
  if (what.do === 'add') {
    const at = what.at === 'repo' ? { type: 'Repo' as const, id: repoId } : { type: 'Task' as const, id: ids[what.at] };
    return gateIds.set(name, (await client.add(at, { name, command, max_retries: what.maxRetries })).id);
  }
  if (what.do === 'remove') return client.remove(gateIds.get(name) ?? '');
  if (what.do === 'update') return client.update(gateIds.get(name) ?? '', { max_retries: what.maxRetries });
  const id = ids[what.on];
  switch (what.do) {
    case 'submit':
      return client.tasks.submit(id, { allow_empty: true });
    case 'approve':
      return client.reviews.approve(await lastReview(client, id));
    case 'rerun':
      return client.rerun(await lastReview(client, id));
    case 'request':
      return client.reviews.requestChanges(await lastReview(client, id));
    case 'wait':
      return help.ask(id);
    case 'resume':
      await help.respond((await help.active(id))?.id ?? 'nobody');
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
      return git(worktrees[what.on], 'commit', '--quiet', '--allow-empty', '--message=Moved');
    case 'release':
      return undefined;
  }
}

/** The reducer must make the rows that the server has, of its ledger alone. */
export async function expectReduced(
  client: GatesClient,
  { repoId, ids }: Stage,
  events: readonly LedgerEvent[],
): Promise<void> {
  const state = reduceEvents(emptyLedgerState({ filtered: true }), events);
  const lists = await Promise.all([
    client.list('repo', repoId),
    ...Object.values(ids).map((id) => client.list('task', id)),
  ]);
  expect([...state.gates.values()].sort(byId)).toEqual(lists.flat().sort(byId));
  for (const review of [...(await client.reviews.list(ids.a)), ...(await client.reviews.list(ids.b))]) {
    const results = (await client.results(review.id)).map(({ stdout: _out, stderr: _err, ...rest }) => rest);
    expect(state.gateResults.get(review.id) ?? []).toEqual(results);
    expect(state.reviews.get(review.id)).toEqual(review);
  }
}

function byId(one: { readonly id: string }, other: { readonly id: string }): number {
  return one.id < other.id ? -1 : 1;
}
