import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { AppError, hungUp } from '../../errors.js';
import type { Clock } from '../clock.js';
import type { Db } from '../db/db.js';
import {
  type Claim,
  deleteExpiredKeys,
  findKey,
  keepAnswer,
  releaseKey,
  renewClaims,
  settleAnswer,
  takeKey,
} from '../db/idempotency.js';
import type { Wakeups } from '../db/wakeups.js';
import type { Log } from '../log.js';
import { createLoop } from '../loop.js';
import { createBell } from './bell.js';
import type { Keep } from './keep.js';
import { type Identified, identify, type KeyedRequest, keyHeader } from './request.js';

export interface Answered {
  readonly answer: object;
  /** True when it is that of an earlier call. */
  readonly replayed: boolean;
}

/**
 * Lets calls be repeated without harm: of all calls of one caller under one key, on any server, one is carried out, and all others get
 * its answer, now or within a day.
 *
 * A key is claimed before its call is carried out. Whoever carries it out writes the answer in the transaction that decides the
 * call, and can do so only while the claim is its own. So the answer is there exactly when the change is: a server that dies before
 * that commit has done nothing, its claim lapses, and a twin carries the call out; one that dies after it leaves the answer to
 * its twins; one that is only slow finds its claim in other hands and is rolled back.
 */
export interface Idempotency {
  /**
   * Answers what `work` gives, or has given before. Rejects with `invalid_request` for a key that cannot be one, `conflict` for one that
   * stands for another request, and else with what `work` rejects with: then nothing is remembered of the call, and the next one is
   * judged anew. `work` must change nothing without the `keep` that it is handed (keep.ts).
   */
  answer(request: KeyedRequest, signal: AbortSignal, work: (keep: Keep<object>) => Promise<object>): Promise<Answered>;
  start(): void;
  stop(): Promise<void>;
}

export interface IdempotencyDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly wakeups: Wakeups;
  readonly log: Log;
  /** Aborts when the server is about to stop: nobody waits for another server's answer from then on. */
  readonly stopping: AbortSignal;
  /** How often to look for an answer of another server that nobody told of, in milliseconds. */
  readonly pollMs: number;
}

/** How long an answer is replayed, from the first call on. */
export const keptMs = 24 * 3600_000;
/** How long a claim outlives a server that no longer renews it. */
export const lapseMs = 15_000;
const renewEveryMs = 5000;
/** A connection is seldom lost alone, and the pool learns of the others one by one. */
const releaseWaitsMs = [20, 50, 100, 200, 400];
const expireEveryMs = 60_000;
const expireAtOnce = 1000;

/** Somebody who took its holder for dead has taken the call over. */
class TakenOver extends Error {
  override readonly name = 'TakenOver';

  constructor() {
    super('the call is in other hands, or its answer has been kept before');
  }
}

export function createIdempotency({ db, clock, wakeups, log, stopping, pollMs }: IdempotencyDeps): Idempotency {
  /** One for each request that is under way here, however many callers wait for it. */
  const underWay = new Map<string, { readonly answered: Promise<Answered>; readonly signal: AbortSignal }>();
  /** Those that are being carried out here, and since when. */
  const held = new Map<Claim, number>();

  const from = (ms: number): Date => new Date(clock.now().getTime() + ms);

  /** Carries the call out once, or waits for whoever does. */
  async function decide(
    known: Identified,
    signal: AbortSignal,
    work: (keep: Keep<object>) => Promise<object>,
  ): Promise<Answered> {
    const bell = createBell(wakeups, topicOf(known.id), [signal, stopping]);
    try {
      for (;;) {
        const claim: Claim = { id: known.id, claim: randomUUID() };
        const { requestHash } = known;
        if (await takeKey(db, { ...claim, requestHash, until: from(lapseMs) }, clock.now(), from(-keptMs))) {
          const answer = await carryOut(known, claim, signal, work);
          if (answer !== undefined) return { answer, replayed: false };
        }
        const found = await findKey(db, known.id, requestHash);
        if (found?.same === false) throw otherRequest();
        if (found !== undefined && found.answer !== null) return { answer: known.open(found.answer), replayed: true };
        if (found !== undefined) await bell.rung(pollMs);
        if (signal.aborted) throw hungUp();
        if (stopping.aborted) throw new AppError('unavailable', 'The server is stopping; try again.');
      }
    } finally {
      bell.close();
    }
  }

  /** Answers undefined when somebody else has taken the call over, whose answer counts then. */
  async function carryOut(
    known: Identified,
    claim: Claim,
    signal: AbortSignal,
    work: (keep: Keep<object>) => Promise<object>,
  ): Promise<object | undefined> {
    let kept: object | undefined;
    const keep: Keep<object> = async (tx, answer) => {
      if (!(await keepAnswer(tx, claim, known.seal(answer)))) throw new TakenOver();
      tx.afterCommit(() => (kept = answer));
    };
    held.set(claim, performance.now());
    try {
      const answer = await work(keep);
      if (kept !== undefined) return kept;
      // What was cut short is nobody's answer.
      if (signal.aborted) throw hungUp();
      return (await settleAnswer(db, claim, known.seal(answer))) ? answer : await keptBy(known, claim);
    } catch (error) {
      // What was committed counts, whatever happened after it.
      if (kept !== undefined) return kept;
      return await afterFailure(known, claim, error);
    } finally {
      held.delete(claim);
      wakeups.notify(topicOf(known.id));
    }
  }

  /** Whether the call has failed is for the database to say: where the connection was lost, the commit may have come through. */
  async function afterFailure(known: Identified, claim: Claim, error: unknown): Promise<object | undefined> {
    for (const waitMs of [...releaseWaitsMs, undefined]) {
      try {
        if (!(await releaseKey(db, claim))) return await keptBy(known, claim);
        break;
      } catch (failure) {
        // In the end the claim lapses by itself, and an answer that is there is found by the next call.
        if (waitMs === undefined) log.warn('idempotency_key_not_released', { error: failure });
        else await pause(waitMs);
      }
    }
    throw error;
  }

  async function keptBy(known: Identified, { claim }: Claim): Promise<object | undefined> {
    const found = await findKey(db, known.id, known.requestHash);
    return found?.claim === claim && found.answer !== null ? known.open(found.answer) : undefined;
  }

  const renewal = createLoop({
    name: 'idempotency_claims',
    log,
    intervalMs: renewEveryMs,
    run: async () => {
      // Most are answered before it is their turn.
      const due = performance.now() - renewEveryMs / 2;
      const claims = [...held].flatMap(([claim, since]) => (since <= due ? [claim] : []));
      if (claims.length > 0) await renewClaims(db, claims, from(lapseMs));
    },
  });

  const expiry = createLoop({
    name: 'idempotency_expiry',
    log,
    intervalMs: expireEveryMs,
    run: async () => {
      const deleted = await deleteExpiredKeys(db, from(-keptMs), clock.now(), expireAtOnce);
      return deleted === expireAtOnce ? 0 : undefined;
    },
  });

  return {
    async answer(request, signal, work) {
      const known = identify(request);
      const twins = `${known.id.toString('base64')} ${known.requestHash.toString('base64')}`;
      for (;;) {
        const ahead = underWay.get(twins);
        if (ahead === undefined) {
          const answered = decide(known, signal, work).finally(() => underWay.delete(twins));
          underWay.set(twins, { answered, signal });
          return answered;
        }
        try {
          const { answer } = await unlessAborted(ahead.answered, signal);
          return { answer, replayed: true };
        } catch (error) {
          // That the caller ahead has hung up is no answer to this one.
          if (signal.aborted || !ahead.signal.aborted) throw error;
        }
      }
    },
    start() {
      renewal.start();
      expiry.start();
    },
    async stop() {
      await Promise.all([renewal.stop(), expiry.stop()]);
    },
  };
}

/** No spaces: it travels in front of one. */
function topicOf(id: Buffer): string {
  return `idempotency:${id.toString('base64url')}`;
}

function otherRequest(): AppError {
  return new AppError('conflict', `${keyHeader}: another request used it before`, { details: { field: keyHeader } });
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const left = (): void => reject(hungUp());
    if (signal.aborted) return left();
    signal.addEventListener('abort', left, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', left));
  });
}
