import { getOption, hasOption, type DescMethod, type DescService } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { scope as scopeOption } from '../../../gen/muster/v1/options_pb.js';
import type { Call } from './call.js';
import { checkCodec, type Codec, codecOf } from './codec.js';

/**
 * The methods of a service, on domain values (see codec.ts). Unary methods answer a value, server streams an async
 * iterable of values; bidi streams also take one.
 */
export type Handlers<S extends DescService = DescService> = {
  readonly [M in keyof S['method']]: (input: never, call: Call) => unknown;
};

/** One RPC: its descriptor, what it asks for, and the function that answers it. */
export interface Method {
  readonly desc: DescMethod;
  /** `/muster.v1.JobService/GetJob` */
  readonly path: string;
  readonly scope: string;
  /** Whether it is unary and may change something, so that an Idempotency-Key means something to it. */
  readonly writes: boolean;
  readonly input: Codec;
  readonly output: Codec;
  readonly handler: (input: unknown, call: Call) => unknown;
}

/** A service and its methods, ready to be served. Made by `service()`. */
export interface Service {
  readonly desc: DescService;
  readonly methods: readonly Method[];
}

/**
 * Binds handlers to a service descriptor. Throws for a method without a scope: what declares none is denied to
 * everybody, so a server that has one is not worth starting. Throws also for messages that have no domain value.
 */
export function service<S extends DescService>(desc: S, handlers: Handlers<S>): Service {
  const methods = desc.methods.map((method): Method => {
    const handler = (handlers as Readonly<Record<string, Method['handler'] | undefined>>)[method.localName];
    const name = `${desc.typeName}.${method.name}`;
    if (handler === undefined) throw new Error(`${name} has no handler`);
    if (method.methodKind === 'client_streaming') throw new Error(`${name}: client streaming is not used here`);
    const scope = hasOption(method, scopeOption) ? getOption(method, scopeOption) : '';
    if (scope === '') throw new Error(`${name} declares no scope`);
    checkCodec(method.input);
    checkCodec(method.output);
    return {
      desc: method,
      path: `/${desc.typeName}/${method.name}`,
      scope,
      writes: writes(method),
      input: codecOf(method.input),
      output: codecOf(method.output),
      handler,
    };
  });
  return { desc, methods };
}

function writes({ methodKind, idempotency }: DescMethod): boolean {
  return methodKind === 'unary' && idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
}
