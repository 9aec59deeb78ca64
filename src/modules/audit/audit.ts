import type { Clock } from '../../platform/clock.js';
import type { Db } from '../../platform/db/db.js';
import type { Log } from '../../platform/log.js';
import { createLoop } from '../../platform/loop.js';
import type { Refusal } from '../../platform/rpc/dispatch.js';
import { within } from '../../platform/within.js';
import { type Appended, appendEvents, type Change, type Origin } from '../events/index.js';

export interface AuditDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Log;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
}

/**
 * Puts who was refused into the ledger, where only those see it who may read the audit trail. What was done is there already, as
 * each change's own events with their actors.
 *
 * A refusal changes nothing, so it is recorded a moment later and not in a transaction with anything. Strangers could fill the
 * ledger with refusals: the first of a kind is recorded at once, those that follow are counted and recorded as one when
 * the minute is over, and of many kinds at a time the ones beyond a number are counted together.
 */
export interface Audit {
  refused(refusal: Refusal): void;
  start(): void;
  /** Records what has been counted. */
  stop(): Promise<void>;
}

/** Refusals that are told together. */
interface Kind {
  readonly change: Omit<Change, 'payload'> & { readonly payload: Readonly<Record<string, unknown>> };
  readonly origin: Origin;
  readonly since: number;
  /** Of those that are not in the ledger yet. */
  count: number;
  /** When the last of them came. */
  at: Date;
  recorded: boolean;
}

const flushMs = 1000;
const countMs = 60_000;
const maxKinds = 500;
/** How long a stop waits for the last of them to be recorded. */
const stopMs = 3000;

export function createAudit({ db, clock, log, appended }: AuditDeps): Audit {
  const kinds = new Map<string, Kind>();
  const loop = createLoop({ name: 'audit', log, intervalMs: flushMs, run: () => flush(false) });

  async function record(kind: Kind): Promise<void> {
    const { change, origin, at, count } = kind;
    const payload = { ...change.payload, count };
    await db.transaction((tx) => appendEvents(tx, origin, at, [{ ...change, payload }]));
    kind.count -= count;
    kind.recorded = true;
    appended('CallRefused', 1);
  }

  async function flush(all: boolean): Promise<void> {
    const now = clock.now().getTime();
    for (const [key, kind] of kinds) {
      const isOver = now - kind.since >= countMs;
      if (kind.count > 0 && (all || isOver || !kind.recorded)) await record(kind);
      if (isOver && kind.count === 0) kinds.delete(key);
    }
  }

  return {
    refused(refusal) {
      const key = keyOf(refusal);
      const at = clock.now();
      const kind = kinds.get(key) ?? (kinds.size < maxKinds ? undefined : kinds.get(others));
      if (kind !== undefined) {
        kind.count += 1;
        kind.at = at;
        return;
      }
      const isKnown = kinds.size < maxKinds;
      const told = isKnown ? kindOf(refusal) : otherKind;
      kinds.set(isKnown ? key : others, { ...told, since: at.getTime(), count: 1, at, recorded: false });
    },
    start: () => loop.start(),
    async stop() {
      await loop.stop();
      await within(stopMs, flush(true));
    },
  };
}

const others = 'others';
/** What is told of those of which there were too many kinds. */
const otherKind: Pick<Kind, 'change' | 'origin'> = {
  change: { type: 'CallRefused', payload: { others: true }, restricted: true },
  origin: { source: 'System', correlationId: undefined, actor: { kind: 'unknown', id: others } },
};

/** Of strangers all that comes from one address is one kind: they choose what they ask for. */
function keyOf({ principal, door, address, error }: Refusal): string {
  if (principal === undefined) return `${error.kind} ${address}`;
  return `${error.kind} ${principal.id} ${door.path}`;
}

function kindOf({ principal, door, call, address, error }: Refusal): Pick<Kind, 'change' | 'origin'> {
  const { source, correlationId } = call;
  const { kind, id } = principal ?? { kind: 'unknown', id: address ?? 'unknown' };
  const payload = {
    method: door.path,
    scope: door.scope,
    error: error.kind,
    message: error.message,
    address: address ?? null,
  };
  return {
    change: { type: 'CallRefused', payload, restricted: true },
    origin: { source, correlationId, actor: { kind, id } },
  };
}
