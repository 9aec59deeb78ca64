import type { Caller } from './principal.js';

/** Whoever uses the machine that the server runs on, as long as nobody has to show a token. */
export const localHuman = { kind: 'human', id: 'local', capabilities: [] } as const;

/** The local human where nothing can end that. */
export const localCaller: Caller = { principal: localHuman, onEnded: () => () => undefined };
