import type { Entry } from '../command.js';

export const importCommands: readonly Entry[] = [
  {
    name: 'import beads',
    summary: 'Makes tasks of the issues of beads.',
    load: async () => (await import('../import/commands.js')).importBeadsCommand,
  },
  {
    name: 'import task-master',
    summary: 'Makes tasks of the tasks of Task Master.',
    load: async () => (await import('../import/commands.js')).importTaskMasterCommand,
  },
];
