import { AppError } from '../../errors.js';
import type { Principal, Role } from './principal.js';

export interface Policy {
  /** Throws `forbidden` unless the principal may do what needs this scope. */
  authorize(principal: Principal, scope: string): void;
  isGranted(principal: Principal, scope: string): boolean;
}

/** Scopes: `jobs.read` grants that one, `jobs.*` all of a noun, `*.read` one verb of every noun, `*` all. */
export interface Grants {
  readonly roles: Readonly<Record<Role, readonly string[]>>;
  /** What a capability adds to its holder's role. */
  readonly capabilities: Readonly<Record<string, readonly string[]>>;
}

/** Whatever is not granted is denied, scopes that nobody has heard of included. */
export function createPolicy({ roles, capabilities }: Grants): Policy {
  const covering = new Map<string, readonly string[]>();

  /** The capabilities that grant a scope. */
  function capabilitiesFor(scope: string): readonly string[] {
    let names = covering.get(scope);
    if (names === undefined) {
      names = Object.keys(capabilities).filter((name) => capabilities[name]?.some((grant) => covers(grant, scope)));
      covering.set(scope, names);
    }
    return names;
  }

  function isGranted({ kind, capabilities: held }: Principal, scope: string): boolean {
    return (
      roles[kind].some((grant) => covers(grant, scope)) || capabilitiesFor(scope).some((name) => held.includes(name))
    );
  }

  return {
    isGranted,
    authorize(principal, scope) {
      if (isGranted(principal, scope)) return;
      const { kind } = principal;
      const [capability] = kind === 'agent' ? capabilitiesFor(scope) : [];
      throw capability === undefined
        ? new AppError('forbidden', `The role ${kind} lacks the scope ${scope}.`, { details: { scope } })
        : new AppError('forbidden', `This agent lacks the capability ${capability}.`, {
            details: { scope, capability },
          });
    },
  };
}

function covers(grant: string, scope: string): boolean {
  if (grant === '*' || grant === scope) return true;
  const [noun = '', verb = ''] = scope.split('.');
  return grant === `${noun}.*` || grant === `*.${verb}`;
}
