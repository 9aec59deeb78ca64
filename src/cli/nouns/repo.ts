import type { Entry } from '../command.js';

export const repoCommands: readonly Entry[] = [
  {
    name: 'repo register',
    summary: 'Registers a git repository, for tasks to be done in.',
    load: async () => (await import('../repo-register.js')).repoRegisterCommand,
  },
  {
    name: 'repo list',
    summary: 'Lists repositories, newest first.',
    load: async () => (await import('../repo-list.js')).repoListCommand,
  },
  {
    name: 'repo show',
    summary: 'Shows a repository.',
    load: async () => (await import('../repo-show.js')).repoShowCommand,
  },
  {
    name: 'repo set',
    summary: 'Changes a repository: where its tasks begin.',
    load: async () => (await import('../repo-set.js')).repoSetCommand,
  },
  {
    name: 'repo unregister',
    summary: 'Forgets a repository, and changes nothing in it.',
    load: async () => (await import('../repo-unregister.js')).repoUnregisterCommand,
  },
];
