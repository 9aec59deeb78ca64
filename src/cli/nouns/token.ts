import type { Entry } from '../command.js';

export const tokenCommands: readonly Entry[] = [
  {
    name: 'token create',
    summary: 'Makes a token, with which its holder is let in.',
    load: async () => (await import('../token-create.js')).tokenCreateCommand,
  },
  {
    name: 'token list',
    summary: 'Lists tokens, without their secrets.',
    load: async () => (await import('../token-list.js')).tokenListCommand,
  },
  {
    name: 'token revoke',
    summary: 'Revokes a token at once.',
    load: async () => (await import('../token-revoke.js')).tokenRevokeCommand,
  },
];
