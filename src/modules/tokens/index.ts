export { auditScope, grants } from './access.js';
export { createTokenRpc } from './rpc.js';
export { createTokens, type Tokens, type TokensDeps } from './service.js';
