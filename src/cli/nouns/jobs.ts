import type { Entry } from '../command.js';

export const jobsCommands: readonly Entry[] = [
  {
    name: 'jobs submit',
    summary: 'Submits a job.',
    load: async () => (await import('../jobs-submit.js')).submitCommand,
  },
  {
    name: 'jobs get',
    summary: 'Shows a job.',
    load: async () => (await import('../jobs-get.js')).getCommand,
  },
  {
    name: 'jobs list',
    summary: 'Lists jobs, newest first.',
    load: async () => (await import('../jobs-list.js')).listCommand,
  },
  {
    name: 'jobs cancel',
    summary: 'Cancels a job that has not ended.',
    load: async () => (await import('../jobs-cancel.js')).cancelCommand,
  },
  {
    name: 'jobs watch',
    summary: 'Follows a job until it has ended.',
    load: async () => (await import('../jobs-watch.js')).watchCommand,
  },
];
