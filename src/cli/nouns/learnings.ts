import type { Entry } from '../command.js';

export const learningsCommands: readonly Entry[] = [
  {
    name: 'learnings add',
    summary: 'Writes down what was learned on a task.',
    load: async () => (await import('../learnings.js')).learningsAddCommand,
  },
  {
    name: 'learnings list',
    summary: 'Lists what was learned on a task, and above it.',
    load: async () => (await import('../learnings.js')).learningsListCommand,
  },
];
