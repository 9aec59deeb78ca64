import { TokenService } from '../../../gen/muster/v1/tokens_pb.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { PageInput } from '../../platform/paging.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { originOf } from '../events/index.js';
import type { Tokens } from './service.js';
import type { CreateInput, Token } from './tokens.js';

/** TokenService on the wire. */
export function createTokenRpc(tokens: Tokens): Service {
  return service(TokenService, {
    createToken: (input: CreateInput, call: Call) => tokens.create(input, originOf(call), call.keep),
    getToken: async ({ id }: { id: string }) => ({ token: await tokens.get(id) }),
    listTokens: (input: PageInput) => tokens.list(input),
    revokeToken: ({ id }: { id: string }, call: Call) =>
      keeping(
        call,
        (token: Token) => ({ token }),
        (keep) => tokens.revoke(id, originOf(call), keep),
      ),
    createTicket: (_input: object, call: Call) => tokens.createTicket(call.principal, call.keep),
  });
}
