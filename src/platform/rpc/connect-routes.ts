import {
  Code,
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  createContextKey,
  type HandlerContext,
  type MethodImpl,
} from '@connectrpc/connect';
import { create, type DescMessage, type Message, toBinary } from '@bufbuild/protobuf';
import { AppError } from '../../errors.js';
import { keyHeader } from '../idempotency/request.js';
import { type Admission, type CallLife, replayedHeader } from './call.js';
import type { Codec, Plain } from './codec.js';
import { callersFault, toConnectError } from './connect-error.js';
import type { Dispatch } from './dispatch.js';
import { enumNamesCheckOf } from './enum-names.js';
import { jsonReadOptions } from './limits.js';
import type { Method, Service } from './methods.js';

/** The admission of the request, which the HTTP layer hands to its handler. */
export const admissionKey = createContextKey<Admission | undefined>(undefined, { description: 'who has been let in' });

/** Serves every method over Connect, gRPC and gRPC-Web through the one dispatch. */
export function registerServices(router: ConnectRouter, services: readonly Service[], dispatch: Dispatch): void {
  for (const method of services.flatMap(({ methods }) => methods)) {
    router.rpc(method.desc, implement(method, dispatch), readOptionsOf(method));
  }
}

/** connect-node shows nobody the JSON of a message but by its decoder of texts. Only requests are read by it. */
function readOptionsOf({ desc }: Method): Partial<ConnectRouterOptions> | undefined {
  const checkNames = enumNamesCheckOf(desc.input);
  if (checkNames === undefined) return undefined;
  const decoder = new TextDecoder();
  const textDecoder = {
    decode(bytes: Uint8Array): string {
      const text = decoder.decode(bytes);
      try {
        checkNames(text);
      } catch (error) {
        // Which call it belongs to is not known here.
        throw error instanceof AppError ? toConnectError(error, '') : error;
      }
      return text;
    },
  };
  const jsonOptions = { ...jsonReadOptions, textDecoder };
  return { jsonOptions };
}

function implement(method: Method, dispatch: Dispatch): MethodImpl<never> {
  const { input, output } = method;
  const unary = async (message: Message, context: HandlerContext): Promise<Message> => {
    const { admission, life } = callOf(context);
    try {
      return output.encode(await dispatch.unary(method, input.decode(message), admission, life));
    } catch (error) {
      throw toConnectError(dispatch.fault(error, method, admission), admission.correlationId);
    }
  };
  const sharedBytes = createSharedEncoder(method);
  async function* serverStream(message: Message, context: HandlerContext): AsyncIterable<Message> {
    const { admission, life } = callOf(context);
    // gRPC's type without a suffix stands for protobuf.
    const asJson = /json/.test(context.requestHeader.get('content-type') ?? '');
    try {
      const plains = dispatch.serverStream(method, input.decode(message), admission, life);
      yield* encodeAll(plains, asJson ? output : sharedBytes);
    } catch (error) {
      throw toConnectError(dispatch.fault(error, method, admission), admission.correlationId);
    }
  }
  async function* bidiStream(messages: AsyncIterable<Message>, context: HandlerContext): AsyncIterable<Message> {
    const { admission, life } = callOf(context);
    try {
      yield* encodeAll(dispatch.bidiStream(method, decodeAll(messages, input), admission, life), output);
    } catch (error) {
      throw toConnectError(dispatch.fault(error, method, admission), admission.correlationId);
    }
  }
  switch (method.desc.methodKind) {
    case 'unary':
      return unary as unknown as MethodImpl<never>;
    case 'server_streaming':
      return serverStream as unknown as MethodImpl<never>;
    case 'bidi_streaming':
      return bidiStream as unknown as MethodImpl<never>;
    case 'client_streaming':
      throw new Error(`${method.path}: client streaming is not used here`);
  }
}

async function* decodeAll(messages: AsyncIterable<Message>, codec: Codec): AsyncIterable<Plain> {
  try {
    for await (const message of messages) yield codec.decode(message);
  } catch (error) {
    throw error instanceof ConnectError ? callersFault(error) : error;
  }
}

/**
 * Encodes a value once for all streams that are sent the same object. What it gives is a message without any field but for unknown
 * ones, which are the bytes of the real message: protobuf-es copies those as they are.
 */
function createSharedEncoder({ desc, output }: Method): Pick<Codec, 'encode'> {
  const known = new WeakMap<Plain, Message>();
  return {
    encode(plain) {
      let message = known.get(plain);
      if (message === undefined) known.set(plain, (message = inBytes(desc.output, output.encode(plain))));
      return message;
    },
  };
}

function inBytes(desc: DescMessage, message: Message): Message {
  const bytes = toBinary(desc, message);
  const [tag = 0] = bytes;
  // A tag of several bytes, of a field number beyond 15, is not worth taking apart.
  if (bytes.length === 0 || tag > 127) return message;
  return { ...create(desc), $unknown: [{ no: tag >> 3, wireType: tag & 7, data: bytes.subarray(1) }] };
}

async function* encodeAll(plains: AsyncIterable<Plain>, codec: Pick<Codec, 'encode'>): AsyncIterable<Message> {
  for await (const plain of plains) yield codec.encode(plain);
}

function callOf(context: HandlerContext): { readonly admission: Admission; readonly life: CallLife } {
  const admission = context.values.get(admissionKey);
  if (admission === undefined) throw new Error('a call that nobody has let in');
  const key = context.requestHeader.get(keyHeader);
  const life: CallLife = {
    timeoutMs: context.timeoutMs(),
    keyed: key === null ? undefined : { key, onReplayed: () => context.responseHeader.set(replayedHeader, 'true') },
    onGone: (gone) => {
      const { signal } = context;
      // It also aborts at the deadline, which the dispatch tells as such.
      const look = (): void => {
        if (ConnectError.from(signal.reason).code !== Code.DeadlineExceeded) gone();
      };
      if (signal.aborted) look();
      else signal.addEventListener('abort', look, { once: true });
    },
  };
  return { admission, life };
}
