import type { Entry } from '../command.js';

export const gateCommands: readonly Entry[] = [
  {
    name: 'gate add',
    summary: 'Adds a gate that tasks have to pass, to a repository or a task.',
    load: async () => (await import('../gates.js')).gateAddCommand,
  },
  {
    name: 'gate list',
    summary: 'Lists the gates of a repository or a task.',
    load: async () => (await import('../gates.js')).gateListCommand,
  },
  {
    name: 'gate effective',
    summary: 'Lists all gates that a task has to pass.',
    load: async () => (await import('../gates.js')).gateEffectiveCommand,
  },
  {
    name: 'gate set',
    summary: 'Changes a gate.',
    load: async () => (await import('../gates.js')).gateSetCommand,
  },
  {
    name: 'gate remove',
    summary: 'Removes a gate.',
    load: async () => (await import('../gates.js')).gateRemoveCommand,
  },
  {
    name: 'gate results',
    summary: 'Shows what gates have found for a review.',
    load: async () => (await import('../gate-results.js')).gateResultsCommand,
  },
  {
    name: 'gate rerun',
    summary: 'Lets the gates of an escalated review run again.',
    load: async () => (await import('../gate-results.js')).gateRerunCommand,
  },
  {
    name: 'gate watch',
    summary: 'Follows the gates of a review until they have ended.',
    load: async () => (await import('../gate-watch.js')).gateWatchCommand,
  },
];
