import { AppError, invalidField } from '../../errors.js';
import type { Principal } from '../../platform/auth/principal.js';
import { idCursor } from '../../platform/cursor.js';
import type { Tx } from '../../platform/db/db.js';
import { type Keep, writeOnce } from '../../platform/idempotency/keep.js';
import { isId, type NewId } from '../../platform/ids.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import { type Appended, type EventType, appendEvents, type Origin } from '../events/index.js';
import { changedTopic, createRecogniser, type Recogniser, type RecogniserDeps } from './recognise.js';
import { advanceVersion, findToken, hasUsableToken, insertToken, listTokens, revokeToken } from './store.js';
import { insertTicket } from './store-tickets.js';
import { type CreateInput, hashOf, newSecret, newTicket, newToken, type Token } from './tokens.js';

export interface TokensDeps extends RecogniserDeps {
  readonly newId: NewId;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
}

const paging = createPaging(idCursor('tok'), (token: Token) => token.id);

export type CreatedToken = Token & { readonly secret: string };

export interface Ticket {
  readonly ticket: string;
  readonly expiresAt: Date;
}

/** The use cases of tokens. Everything rejects with AppErrors that name the field at fault. */
export interface Tokens {
  create(input: CreateInput, origin: Origin, keep?: Keep<CreatedToken>): Promise<CreatedToken>;
  get(id: string): Promise<Token>;
  list(input: PageInput): Promise<{ readonly tokens: readonly Token[]; readonly nextCursor: string | undefined }>;
  revoke(id: string, origin: Origin, keep?: Keep<Token>): Promise<Token>;
  createTicket(principal: Principal, keep?: Keep<Ticket>): Promise<Ticket>;
  /** Whether anybody could show a token. */
  anyUsable(): Promise<boolean>;
  readonly recogniser: Recogniser;
}

const ticketMs = 30_000;

export function createTokens(deps: TokensDeps): Tokens {
  const { db, clock, newId, wakeups, log, appended } = deps;
  const recogniser = createRecogniser(deps);

  async function get(id: string): Promise<Token> {
    const token = isId('tok', id) ? await findToken(db, id) : undefined;
    if (token === undefined) throw new AppError('not_found', `There is no token ${id}.`);
    return token;
  }

  async function changed(type: EventType): Promise<void> {
    appended(type, 1);
    wakeups.notify(changedTopic);
    // The caller may rely on it from now on, on this server at least.
    await recogniser.look();
  }

  return {
    async create(input, origin, keep) {
      const now = clock.now();
      const asked = newToken(input, now);
      const secret = newSecret();
      const token: Token = {
        ...asked,
        id: newId('tok'),
        createdBy: origin.actor.id,
        createdAt: now,
        revokedAt: undefined,
      };
      const created = { ...token, secret };
      await db.transaction(async (tx) => {
        await addToken(tx, token, secret, origin);
        await keep?.(tx, created);
      });
      log.info('token_created', { corr_id: origin.correlationId, token_id: token.id, role: token.role });
      await changed('TokenCreated');
      return created;
    },
    get,
    async list(input) {
      const page = paging(input);
      const { rows: tokens, nextCursor } = page.of(await listTokens(db, page.count, page.place));
      return { tokens, nextCursor };
    },
    async revoke(id, origin, keep) {
      const now = clock.now();
      const revoked = isId('tok', id)
        ? await db.transaction(async (tx) => {
            const token = await revokeToken(tx, id, now);
            if (token === undefined) return undefined;
            await advanceVersion(tx);
            const payload = { token_id: id, revoked_at: now };
            await appendEvents(tx, origin, now, [{ type: 'TokenRevoked', payload, restricted: true }]);
            await keep?.(tx, token);
            return token;
          })
        : undefined;
      if (revoked === undefined) return get(id);
      log.info('token_revoked', { corr_id: origin.correlationId, token_id: id });
      await changed('TokenRevoked');
      return revoked;
    },
    async createTicket(principal, keep) {
      const now = clock.now();
      const expiresAt = new Date(now.getTime() + ticketMs);
      const ticket = newTicket();
      return writeOnce(db, keep, async (on) => {
        await insertTicket(on, hashOf(ticket), principal, { expiresAt, now });
        return { ticket, expiresAt };
      });
    },
    anyUsable: () => hasUsableToken(db, clock.now()),
    recogniser,
  };
}

/**
 * Stores a new token, and its event. Throws `invalid_request` when it is the first one and no human's: nobody would be left who may
 * make another.
 */
async function addToken(tx: Tx, token: Token, secret: string, origin: Origin): Promise<void> {
  await insertToken(tx, token, hashOf(secret));
  const isFirst = (await advanceVersion(tx)) === 1;
  if (isFirst && token.role !== 'human') {
    throw invalidField('role', 'the first token must be a human; from then on nobody is let in without one');
  }
  const { id, role, name, capabilities, taskId, expiresAt } = token;
  const payload = {
    token_id: id,
    role,
    name,
    capabilities,
    task_id: taskId ?? null,
    expires_at: expiresAt ?? null,
  };
  await appendEvents(tx, origin, token.createdAt, [{ type: 'TokenCreated', payload, restricted: true }]);
}
