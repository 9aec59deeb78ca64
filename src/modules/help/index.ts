export { endHelp } from './endings.js';
export type { FromStatus, HelpRequest } from './help.js';
export { createHelpRpc } from './rpc.js';
export { createHelp, type Help } from './service.js';
export { findOpenRequests as findOpenHelp } from './store.js';
