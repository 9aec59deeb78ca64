import type { Json } from '../platform/json.js';

/** An event as REST prints it, in answers and as the data of server-sent events. */
export interface LedgerEvent {
  readonly id: string;
  readonly seq: number;
  /** RFC 3339, in UTC. */
  readonly at: string;
  readonly type: string;
  readonly source: string;
  readonly actor: { readonly kind: string; readonly id: string };
  readonly correlation_id: string | null;
  readonly task_id: string | null;
  readonly review_id: string | null;
  readonly repo_id: string | null;
  readonly session_id: string | null;
  readonly job_id: string | null;
  /** The fields that have changed, as they are now. */
  readonly payload: { readonly [field: string]: Json };
}
