import type { Entry } from '../command.js';

export const helpRequestsCommands: readonly Entry[] = [
  {
    name: 'help-requests ask',
    summary: 'Asks a human for help on a task, which waits from then on.',
    load: async () => (await import('../help-ask.js')).helpAskCommand,
  },
  {
    name: 'help-requests list',
    summary: 'Lists what was asked on a task, or what waits for a human.',
    load: async () => (await import('../help-requests.js')).helpListCommand,
  },
  {
    name: 'help-requests show',
    summary: 'Shows what a task waits for.',
    load: async () => (await import('../help-requests.js')).helpShowCommand,
  },
  {
    name: 'help-requests respond',
    summary: 'Answers a request.',
    load: async () => (await import('../help-requests.js')).helpRespondCommand,
  },
  {
    name: 'help-requests resume',
    summary: 'Lets a task go on that was answered.',
    load: async () => (await import('../help-requests.js')).helpResumeCommand,
  },
];
