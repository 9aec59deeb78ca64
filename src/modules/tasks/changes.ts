import type { Change, EventType } from '../events/index.js';
import type { VcsRow } from './store-vcs.js';
import type { Patch, Status, Task } from './tasks.js';

/**
 * What the ledger tells of tasks: enough to make the rows anew from nothing else (`src/client/reduce-tasks.ts`). Who blocks whom
 * is told of the task that waits.
 */

type About = Pick<Task, 'id' | 'repoId'>;

function about(type: EventType, { id, repoId }: About, payload: Change['payload']): Change {
  return { type, taskId: id, repoId, payload };
}

export function createdChange(task: Task): Change {
  return about('TaskCreated', task, {
    parent_id: task.parentId ?? null,
    kind: task.kind,
    description: task.description,
    context: task.context ?? null,
    priority: task.priority,
    status: task.status,
    blocked_by: task.blockedBy,
    depth: task.depth,
    created_at: task.createdAt,
    updated_at: task.updatedAt,
  });
}

export function updatedChange(task: About, patch: Patch, now: Date): Change {
  const { description, priority } = patch;
  return about('TaskUpdated', task, {
    ...(description !== undefined && { description }),
    ...('context' in patch && { context: patch.context ?? null }),
    ...(priority !== undefined && { priority }),
    updated_at: now,
  });
}

/** Of a change of status; `startedAt` is when the task was first started. */
export function statusChange(
  type: EventType,
  task: About,
  to: { readonly from: Status; readonly status: Status; readonly startedAt: Date | undefined },
  now: Date,
): Change {
  return about(type, task, {
    from: to.from,
    status: to.status,
    updated_at: now,
    started_at: to.startedAt ?? null,
    completed_at: to.status === 'Completed' ? now : null,
  });
}

export function blockerChange(
  type: 'BlockerAdded' | 'BlockerRemoved',
  task: About,
  blockerId: string,
  now: Date,
): Change {
  return about(type, task, { blocker_id: blockerId, updated_at: now });
}

export function deletedChange(task: About): Change {
  return about('TaskDeleted', task, {});
}

/** Of branch and work tree: the fields that such a change sets. */
export function vcsChange(
  type: 'RefCreated' | 'Committed' | 'TaskArchived',
  task: About,
  row: VcsRow | undefined,
): Change {
  return about(type, task, {
    ref_name: row?.ref_name,
    base_commit: row?.base_commit,
    start_commit: row?.start_commit,
    head_commit: row?.head_commit,
    worktree_path: row?.worktree_path,
    updated_at: row?.updated_at,
    archived_at: row?.archived_at,
  });
}
