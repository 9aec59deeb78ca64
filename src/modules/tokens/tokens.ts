import { createHash, randomBytes } from 'node:crypto';
import { AppError, invalidField } from '../../errors.js';
import { isId } from '../../platform/ids.js';
import type { Principal, Role } from '../../platform/auth/principal.js';
import { isCapability, capabilityNames } from './access.js';

/** A token without its secret, of which nothing but a hash is kept. */
export interface Token {
  readonly id: string;
  readonly role: Role;
  readonly name: string;
  readonly capabilities: readonly string[];
  readonly taskId: string | undefined;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly expiresAt: Date | undefined;
  readonly revokedAt: Date | undefined;
}

type Optional<T> = T | null | undefined;

export interface CreateInput {
  readonly role?: Optional<Role>;
  readonly name: string;
  readonly capabilities: readonly string[];
  readonly taskId?: Optional<string>;
  readonly expiresAt?: Optional<Date>;
}

export type NewToken = Pick<Token, 'role' | 'name' | 'capabilities' | 'taskId' | 'expiresAt'>;

const maxName = 100;

/** Checks what is asked for. Throws `invalid_request` or `unsupported_capability` naming the field. */
export function newToken(input: CreateInput, now: Date): NewToken {
  const { role, capabilities } = input;
  if (role === undefined || role === null) throw invalidField('role', 'is required');
  const name = input.name.trim();
  if (name.length === 0 || name.length > maxName) throw invalidField('name', `must have 1 to ${maxName} characters`);
  if (/\p{Cc}/u.test(name)) throw invalidField('name', 'must have no control characters');
  const unknown = capabilities.filter((capability) => !isCapability(capability));
  if (unknown.length > 0) {
    throw new AppError('unsupported_capability', `capabilities: there is no '${unknown[0]?.slice(0, 100)}'`, {
      details: { field: 'capabilities', unsupported: unknown.slice(0, 20), supported: capabilityNames },
    });
  }
  const taskId = input.taskId ?? undefined;
  if (role !== 'agent' && capabilities.length > 0) throw invalidField('capabilities', 'are for agents only');
  if (role !== 'agent' && taskId !== undefined) throw invalidField('task_id', 'is for agents only');
  if (taskId !== undefined && !['ms', 'task', 'sub'].some((prefix) => isId(prefix, taskId))) {
    throw invalidField('task_id', 'is no id of a task');
  }
  const expiresAt = input.expiresAt ?? undefined;
  if (expiresAt !== undefined && expiresAt <= now) throw invalidField('expires_at', 'must be in the future');
  return { role, name, capabilities: [...new Set(capabilities)], taskId, expiresAt };
}

export function principalOf({ id, role, capabilities, taskId, expiresAt }: Token): Principal {
  return { kind: role, id, capabilities, boundTo: taskId, until: expiresAt };
}

const tokenPrefix = 'mst_';
const ticketPrefix = 'mtk_';

/** 256 random bits, behind a prefix by which people and scanners of secrets know them. */
export function newSecret(): string {
  return tokenPrefix + randomBytes(32).toString('base64url');
}

export function newTicket(): string {
  return ticketPrefix + randomBytes(32).toString('base64url');
}

export function isSecret(text: string): boolean {
  return text.startsWith(tokenPrefix) && text.length === tokenPrefix.length + 43;
}

export function isTicket(text: string): boolean {
  return text.startsWith(ticketPrefix) && text.length === ticketPrefix.length + 43;
}

/** What of a secret is kept. It has too many random bits to be guessed, so no salt and no slow hash is needed. */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
