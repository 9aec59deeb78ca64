import { AppError } from '../../errors.js';
import type { Clock } from '../clock.js';
import type { Caller, Principal } from './principal.js';

/**
 * The callers that have proved who they are, so that not every call has to be looked up. What is kept may be revoked elsewhere:
 * whoever keeps callers here also looks for that (`end`).
 */
export interface Callers {
  /** `key`: what it has proved itself with, or a hash of that. Throws `unauthorized` when it has expired. */
  get(key: string): Caller | undefined;
  keep(key: string, principal: Principal): Caller;
  /** Forgets all that are this principal, and ends what is open for them. */
  end(principalId: string, reason: AppError): void;
  /** Ends those whose time is over. */
  endExpired(): void;
  /** The ids of the principals that are kept. */
  ids(): ReadonlySet<string>;
}

interface Kept {
  readonly caller: Caller;
  readonly watchers: Set<(reason: AppError) => void>;
  /** Why it is no longer let in. */
  over: AppError | undefined;
}

/** Beyond this number those that nothing is open for are forgotten, the longest unused first. */
const maxKept = 10_000;

export function createCallers(clock: Clock): Callers {
  const all = new Map<string, Kept>();

  function end(key: string, kept: Kept, reason: AppError): void {
    all.delete(key);
    kept.over = reason;
    const watchers = [...kept.watchers];
    kept.watchers.clear();
    for (const ended of watchers) ended(reason);
  }

  function isOver({ caller: { principal } }: Kept): boolean {
    return principal.until !== undefined && principal.until <= clock.now();
  }

  function makeRoom(): void {
    for (const [key, { watchers }] of all) {
      if (all.size < maxKept) return;
      if (watchers.size === 0) all.delete(key);
    }
  }

  function create(key: string, principal: Principal): Kept {
    const watchers: Kept['watchers'] = new Set();
    const kept: Kept = { caller: { principal, onEnded }, watchers, over: undefined };
    function onEnded(ended: (reason: AppError) => void): () => void {
      if (kept.over !== undefined) {
        ended(kept.over);
        return () => undefined;
      }
      // It may have been forgotten between its admission and now, to make room.
      const present = all.get(key) ?? kept;
      all.set(key, present);
      present.watchers.add(ended);
      return () => void present.watchers.delete(ended);
    }
    return kept;
  }

  return {
    get(key) {
      const kept = all.get(key);
      if (kept === undefined) return undefined;
      if (isOver(kept)) {
        end(key, kept, expired());
        throw expired();
      }
      if (all.size >= maxKept) {
        // The map's order is that of use.
        all.delete(key);
        all.set(key, kept);
      }
      return kept.caller;
    },
    keep(key, principal) {
      let kept = all.get(key);
      if (kept === undefined) {
        if (all.size >= maxKept) makeRoom();
        all.set(key, (kept = create(key, principal)));
      }
      return kept.caller;
    },
    end(principalId, reason) {
      for (const [key, kept] of all) if (kept.caller.principal.id === principalId) end(key, kept, reason);
    },
    endExpired() {
      for (const [key, kept] of all) if (isOver(kept)) end(key, kept, expired());
    },
    ids: () => new Set([...all.values()].map(({ caller }) => caller.principal.id)),
  };
}

export function expired(): AppError {
  return new AppError('unauthorized', 'The token has expired.');
}

export function revoked(): AppError {
  return new AppError('unauthorized', 'The token has been revoked.');
}
