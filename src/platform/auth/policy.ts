import { AppError } from '../../errors.js';
import type { Principal, Role } from './principal.js';

/** Throws `forbidden` unless the principal may do what needs this scope. */
export type Authorize = (principal: Principal, scope: string) => void;

/** A role's scopes: `jobs.read` grants that one, `jobs.*` all of a noun, `*.read` one verb of every noun, `*` all. */
export type Grants = Readonly<Record<Role, readonly string[]>>;

export function createPolicy(grants: Grants): Authorize {
  const decided = new Map<string, boolean>();
  return (principal, scope) => {
    const key = `${principal.kind} ${scope}`;
    let granted = decided.get(key);
    if (granted === undefined) {
      granted = grants[principal.kind].some((grant) => covers(grant, scope));
      decided.set(key, granted);
    }
    if (!granted) {
      throw new AppError('forbidden', `A ${principal.kind} lacks the scope ${scope}.`, { details: { scope } });
    }
  };
}

function covers(grant: string, scope: string): boolean {
  if (grant === '*' || grant === scope) return true;
  const [noun = '', verb = ''] = scope.split('.');
  return grant === `${noun}.*` || grant === `*.${verb}`;
}
