import type { Grants } from '../../platform/auth/policy.js';

/** What anybody may who is let in at all. */
const forAll = ['docs.read', 'health.read', 'reflection.read', 'tickets.create'] as const;

/** What each role may do, and what a capability adds to an agent's. Scopes are declared by the methods in proto/. */
export const grants: Grants = {
  roles: {
    human: ['*'],
    // Not all that there is to read: gates take a capability.
    agent: [
      ...['jobs.read', 'tasks.read', 'reviews.read', 'help.read', 'learnings.read', 'repos.read', 'vcs.read'],
      ...['events.read', ...forAll],
    ],
    worker: ['jobs.read', 'jobs.work', ...forAll],
    viewer: ['*.read', ...forAll],
  },
  capabilities: {
    'tasks.execute': ['tasks.execute'],
    'reviews.agent': ['reviews.agent'],
    'gates.read': ['gates.read'],
    'help.request': ['help.request'],
    'learnings.write': ['learnings.write'],
    'jobs.work': ['jobs.work'],
  },
};

export const capabilityNames: readonly string[] = Object.keys(grants.capabilities);

export function isCapability(text: string): boolean {
  return capabilityNames.includes(text);
}

/** Who may read the audit trail. */
export const auditScope = 'events.audit';
