import { timestampDate } from '@bufbuild/protobuf/wkt';
import { type Event, EventSourceSchema } from '../../gen/muster/v1/events_pb.js';
import { enumWords } from '../platform/rpc/words.js';
import type { LedgerEvent } from './reduce-events.js';

const sources = enumWords(EventSourceSchema);

/** An event that came by RPC, as REST would have printed it. */
export function ledgerEventOf(event: Event): LedgerEvent {
  const { at, actor } = event;
  return {
    id: event.id,
    seq: Number(event.seq),
    at: at === undefined ? '' : timestampDate(at).toISOString(),
    type: event.type,
    // Empty for one that only a later version knows.
    source: sources.toWord(event.source) ?? '',
    actor: { kind: actor?.kind ?? '', id: actor?.id ?? '' },
    correlation_id: event.correlationId ?? null,
    task_id: event.taskId ?? null,
    review_id: event.reviewId ?? null,
    repo_id: event.repoId ?? null,
    session_id: event.sessionId ?? null,
    job_id: event.jobId ?? null,
    payload: event.payload ?? {},
  };
}
