import type { Tx } from '../../platform/db/db.js';
import type { Change, EventType } from '../events/index.js';
import { statusChange } from './changes.js';
import type { Node } from './store.js';
import { changeStatuses } from './store-change.js';
import type { Status } from './tasks.js';

/** Moves one task. `type` is that of the event. */
export async function move(
  tx: Tx,
  node: Pick<Node, 'id' | 'repoId' | 'parentId' | 'status'>,
  to: Status,
  type: EventType,
  now: Date,
): Promise<readonly Change[]> {
  const { id, parentId, status: from } = node;
  const started = await changeStatuses(tx, [{ id, parentId, from, to }], now);
  return [statusChange(type, node, { from, status: to, startedAt: started.get(id) }, now)];
}
