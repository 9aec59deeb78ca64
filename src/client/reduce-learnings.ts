import type { ChunkedMap } from './chunked-map.js';
import type { LedgerEvent } from './event-json.js';

/** A learning as REST prints it. */
export interface LearningRow {
  readonly id: string;
  readonly task_id: string;
  readonly content: string;
  readonly source_task_id: string | null;
  readonly created_at: string;
}

type Learnings = ChunkedMap<readonly LearningRow[]>;

/** What each task has learned after one more event, oldest first. Others than those of learnings leave it as it is. */
export function learningsAfter(learnings: Learnings, { type, task_id, payload }: LedgerEvent): Learnings {
  if (task_id === null) return learnings;
  switch (type) {
    case 'LearningAdded':
    case 'LearningBubbled': {
      const source = payload['source_task_id'];
      const row: LearningRow = {
        id: String(payload['learning_id']),
        task_id,
        content: String(payload['content']),
        source_task_id: typeof source === 'string' ? source : null,
        created_at: String(payload['created_at']),
      };
      return learnings.with(task_id, [...(learnings.get(task_id) ?? []), row]);
    }
    case 'TaskDeleted':
      return learnings.without(task_id);
    default:
      return learnings;
  }
}
