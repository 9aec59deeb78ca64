import type { Entry } from '../command.js';

export const eventsCommands: readonly Entry[] = [
  {
    name: 'events tail',
    summary: 'Shows the newest events of the ledger, and follows it.',
    load: async () => (await import('../events-tail.js')).tailCommand,
  },
];
