import { GateService } from '../../../gen/muster/v1/gates_pb.js';
import type { Principal } from '../../platform/auth/principal.js';
import { keeping } from '../../platform/idempotency/keep.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { Call } from '../../platform/rpc/call.js';
import { type Service, service } from '../../platform/rpc/methods.js';
import { type Origin, originOf } from '../events/index.js';
import type { Gate, PatchInput } from './gates.js';
import type { CreateInput, Gates, ResultsInput } from './service.js';
import type { WatchGates } from './watch.js';

export interface GateRpcDeps {
  readonly gates: Gates;
  readonly watch: WatchGates;
  /** Lets the gates of an escalated review run again. */
  readonly rerun: (reviewId: string, by: Caller, keep: Keep<void> | undefined) => Promise<void>;
}

/** Who makes a call, and until when. */
export interface Caller {
  readonly principal: Principal;
  readonly origin: Origin;
  readonly signal: AbortSignal;
}

interface ById {
  readonly id: string;
}

interface OfReview {
  readonly reviewId: string;
}

interface ListMessage {
  readonly scope?: 'repo' | 'task';
  readonly id: string;
}

/** GateService on the wire. */
export function createGateRpc({ gates, watch, rerun }: GateRpcDeps): Service {
  return service(GateService, {
    createGate: (input: CreateInput, call: Call) =>
      keeping(call, answered, (keep) => gates.create(input, originOf(call), keep)),
    getGate: async ({ id }: ById) => answered(await gates.get(id)),
    listGates: async ({ scope, id }: ListMessage, call: Call) => {
      const type = scope === undefined ? undefined : scope === 'repo' ? ('Repo' as const) : ('Task' as const);
      return { gates: await gates.list({ ...(type && { type }), id }, call.signal) };
    },
    listEffectiveGates: async ({ taskId }: { readonly taskId: string }, call: Call) => ({
      gates: await gates.effective(taskId, call.signal),
    }),
    updateGate: (input: PatchInput, call: Call) =>
      keeping(call, answered, (keep) => gates.update(input, originOf(call), keep)),
    deleteGate: ({ id }: ById, call: Call) => keeping(call, done, (keep) => gates.remove(id, originOf(call), keep)),
    listGateResults: (input: ResultsInput) => gates.results(input),
    rerunGates: ({ reviewId }: OfReview, call: Call) =>
      keeping(call, done, (keep) => {
        const { principal, signal } = call;
        return rerun(reviewId, { principal, origin: originOf(call), signal }, keep);
      }),
    async *watchGates({ reviewId }: OfReview, call: Call) {
      for await (const item of watch(reviewId, call.signal)) yield item;
    },
  });
}

function answered(gate: Gate) {
  return { gate };
}

function done() {
  return { ok: true };
}
