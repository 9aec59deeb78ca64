import { AppError } from '../../errors.js';
import type { Recognise } from '../../platform/auth/authenticate.js';
import { type Callers, createCallers, expired, revoked } from '../../platform/auth/callers.js';
import { localHuman } from '../../platform/auth/local.js';
import type { Caller, Principal } from '../../platform/auth/principal.js';
import type { Clock } from '../../platform/clock.js';
import { createBatcher } from '../../platform/db/batcher.js';
import type { Db } from '../../platform/db/db.js';
import type { Wakeups } from '../../platform/db/wakeups.js';
import { isId } from '../../platform/ids.js';
import type { Log } from '../../platform/log.js';
import { createLoop } from '../../platform/loop.js';
import { findByHashes, findRevoked, type Found, findToken, readVersion } from './store.js';
import { takeTicket } from './store-tickets.js';
import { hashOf, isSecret, isTicket, principalOf, type Token } from './tokens.js';

/** Told after a commit that changed tokens. */
export const changedTopic = 'tokens';

/**
 * How often a server looks whether tokens have changed elsewhere. Wake-ups make it sooner; without them this, and the time that
 * the look takes, bounds for how long a revoked token is still good.
 */
const lookEveryMs = 500;

export interface RecogniserDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly wakeups: Wakeups;
  readonly log: Log;
  /** Whether the local human may be let in at all. */
  readonly localAllowed: boolean;
}

/** Tells whose a token is. What has been looked up is kept and watched, so that most calls need no query. */
export interface Recogniser {
  readonly bearer: Recognise;
  readonly ticket: Recognise;
  /** The local human, as long as there has never been a token. */
  local(): Caller | undefined;
  /** Callers that are kept beside those of tokens, such as an identity provider's. */
  readonly callers: Callers;
  /**
   * Looks what has changed, and ends those that are no longer let in. To be called once before anybody is let in: until then
   * it does not know whether there are tokens.
   */
  look(): Promise<void>;
  /** Looks by itself from now on. */
  start(): void;
  stop(): Promise<void>;
}

export function createRecogniser({ db, clock, wakeups, log, localAllowed }: RecogniserDeps): Recogniser {
  const callers = createCallers(clock);
  /** Of the tokens, as far as this server has heard. */
  let version = -1;
  /** The one up to which it has ended those that are no longer let in. */
  let looked = -1;

  // Callers with tokens that nobody knows share a query, too.
  const lookups = createBatcher<Buffer, Found | undefined>({
    maxItems: 100,
    maxInFlight: 2,
    run: async (hashes) => {
      const found = await findByHashes(db, hashes);
      return hashes.map((hash) => found.get(hash.toString('base64')));
    },
  });

  function keep(key: string, token: Token): Caller {
    const over = whyOver(token, clock.now());
    if (over !== undefined) throw over;
    return callers.keep(key, principalOf(token));
  }

  async function bearer(text: string, knownOnly: boolean): Promise<Caller | undefined> {
    if (!isSecret(text)) return undefined;
    const hash = hashOf(text);
    const key = hash.toString('base64');
    const known = callers.get(key);
    if (known !== undefined || knownOnly) return known;
    for (;;) {
      const found = await lookups.submit(hash);
      if (found === undefined) return undefined;
      // Else it may have been revoked between the query and now, when nobody looked for it.
      if (found.version >= version) return keep(key, found.token);
    }
  }

  /** A ticket's caller ends with what it was made by. */
  async function callerOf(principal: Principal): Promise<Caller | undefined> {
    const { id, until } = principal;
    if (id === localHuman.id) return local();
    if (until !== undefined && until <= clock.now()) throw expired();
    const key = `ticket of ${id} until ${until?.toISOString()}`;
    if (!isId('tok', id)) return callers.keep(key, principal);
    for (;;) {
      const known = version;
      const token = await findToken(db, id);
      if (token === undefined) return undefined;
      if (known === version) return keep(key, token);
    }
  }

  function local(): Caller | undefined {
    if (!localAllowed || version !== 0) return undefined;
    return callers.keep(localHuman.id, localHuman);
  }

  async function look(): Promise<void> {
    callers.endExpired();
    const present = await readVersion(db);
    if (present === looked) return;
    // First, so that whoever was read before it is read again, and not kept after those that are kept now have been gone through.
    version = Math.max(version, present);
    for (const id of await findRevoked(db, [...callers.ids()])) callers.end(id, revoked());
    if (version > 0) callers.end(localHuman.id, noLongerLocal());
    looked = present;
  }

  const loop = createLoop({ name: 'tokens', log, intervalMs: lookEveryMs, run: look });
  const unlisten = wakeups.on(changedTopic, () => loop.wake());

  return {
    bearer,
    async ticket(text, knownOnly) {
      if (!isTicket(text) || knownOnly) return undefined;
      const ticket = await takeTicket(db, hashOf(text), clock.now());
      return ticket && callerOf(ticket);
    },
    local,
    callers,
    look,
    start: () => loop.start(),
    async stop() {
      unlisten();
      await loop.stop();
    },
  };
}

function whyOver({ revokedAt, expiresAt }: Token, now: Date): AppError | undefined {
  if (revokedAt !== undefined) return revoked();
  return expiresAt !== undefined && expiresAt <= now ? expired() : undefined;
}

function noLongerLocal(): AppError {
  return new AppError('unauthorized', 'There are tokens now; send one.');
}
