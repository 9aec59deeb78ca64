import type { Tx } from '../../platform/db/db.js';
import type { Change, Origin } from '../events/index.js';
import type { OwnQueue } from '../jobs/index.js';
import { queuedChange, runChange } from './changes.js';
import type { Gate } from './gates.js';
import { jobOf, nextAttempt, queuedRun, type Subject, summaryOf, type Verdict, verdictOf } from './runs.js';
import { cancelRuns, findLastAttempts, findRound, insertRun } from './store-runs.js';

/** What reviews do with gates, in transactions of theirs. The repository is locked in all of them. */
export interface GateRounds {
  /** Queues the gates that the task has to pass. Answers what is to be recorded. */
  start(tx: Tx, input: RoundInput, origin: Origin, now: Date): Promise<readonly Change[]>;
}

export interface RoundInput {
  readonly subject: Subject;
  readonly gates: readonly Gate[];
  /** Whether attempts start again at 1, whatever was before. */
  readonly anew?: boolean | undefined;
}

export function createGateRounds({ queue }: { readonly queue: OwnQueue }): GateRounds {
  return {
    async start(tx, { subject, gates, anew = false }, origin, now) {
      if (gates.length === 0) return [];
      const [before] = await findRound(tx, subject.reviewId);
      const ids = gates.map(({ id }) => id);
      const last = anew ? undefined : await findLastAttempts(tx, subject.taskId, ids);
      const runs = gates.map((gate) =>
        queuedRun(
          gate,
          subject,
          {
            round: (before?.round ?? 0) + 1,
            attempt: nextAttempt(last?.get(gate.id)),
            jobId: queue.newId(),
            correlationId: origin.correlationId,
          },
          now,
        ),
      );
      for (const run of runs) await insertRun(tx, run);
      await queue.add(tx, runs.map(jobOf), origin, now);
      return runs.map(queuedChange);
    },
  };
}

/** Ends what is still to run of these tasks, whose reviews are closed. Answers what is to be recorded. */
export async function endGateRuns(tx: Tx, taskIds: readonly string[], now: Date): Promise<readonly Change[]> {
  return (await cancelRuns(tx, taskIds, now)).map(runChange);
}

/** What the last round of a review has come to. Undefined while a gate of it is to run, and when there was none. */
export async function judgeRound(
  tx: Tx,
  reviewId: string,
): Promise<{ readonly verdict: Verdict; readonly summary: string } | undefined> {
  const runs = await findRound(tx, reviewId);
  const verdict = runs.length === 0 ? undefined : verdictOf(runs);
  return verdict && { verdict, summary: summaryOf(runs) };
}
