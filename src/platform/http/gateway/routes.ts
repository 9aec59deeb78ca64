import { getOption, hasOption, type DescField, type DescMessage } from '@bufbuild/protobuf';
import { http as httpOption } from '../../../../gen/google/api/annotations_pb.js';
import type { HttpRule } from '../../../../gen/google/api/http_pb.js';
import { rest_answer as answerOption } from '../../../../gen/muster/v1/options_pb.js';
import type { Method, Service } from '../../rpc/methods.js';
import { parseTemplate, type Template, type Variable } from './template.js';

/** One REST path: where a method of a service is found, and how its request and answer are laid out. */
export interface Route {
  readonly method: string;
  readonly template: Template;
  readonly rpc: Method;
  /** The whole request, one field of it, or nothing. */
  readonly body: 'none' | 'whole' | DescField;
  /** The field of the response that is the answer; undefined: the whole response. */
  readonly answer: DescField | undefined;
  /** The status of a success. */
  readonly status: number;
  /** The path of the created resource, its variables being fields of the answer. */
  readonly location: Template | undefined;
  /** For a server stream, which is served as server-sent events. */
  readonly stream: StreamRoute | undefined;
  /** Whether the stream is served over a WebSocket here. */
  readonly websocket: boolean;
}

export interface StreamRoute {
  /** The list field of a message whose items are the events. */
  readonly items: DescField & { readonly message: DescMessage };
  /** The field of an item that is the event's id. */
  readonly eventId: DescField;
  /** The field of the request that a Last-Event-ID header sets. */
  readonly lastEventId: DescField;
  /** The field of a message without items that tells up to which id all has been read. */
  readonly readUpTo: DescField;
}

/** The routes of the methods that have a REST path. Throws for a binding that names no such field. */
export function routesOf(services: readonly Service[]): readonly Route[] {
  return services.flatMap((service) =>
    service.methods.flatMap((rpc) => {
      if (!hasOption(rpc.desc, httpOption)) return [];
      if (rpc.desc.methodKind === 'bidi_streaming') throw new Error(`${rpc.path}: streams both ways have no REST path`);
      const rule = getOption(rpc.desc, httpOption);
      return [rule, ...rule.additionalBindings].map((binding) => routeOf(rpc, binding));
    }),
  );
}

function routeOf(rpc: Method, rule: HttpRule): Route {
  const { method, path, websocket } = patternOf(rpc, rule);
  const template = parseTemplate(path);
  for (const variable of template.variables) checkVariable(rpc, rpc.desc.input, variable);
  const answer = rule.responseBody === '' ? undefined : fieldOf(rpc, rpc.desc.output, rule.responseBody);
  const { status, location, ...stream } = answerOf(rpc);
  return {
    method,
    template,
    rpc,
    body: bodyOf(rpc, rule.body, template),
    answer,
    status: websocket ? 101 : status,
    location: locationOf(rpc, location, answer),
    stream: rpc.desc.methodKind === 'server_streaming' ? streamOf(rpc, method, answer, stream) : undefined,
    websocket,
  };
}

/** The names of the fields of a stream, as its method says them. */
interface StreamFields {
  readonly eventId: string;
  readonly lastEventId: string;
  readonly readUpTo: string;
}

function streamOf(
  rpc: Method,
  method: string,
  items: DescField | undefined,
  { eventId, lastEventId, readUpTo }: StreamFields,
): StreamRoute {
  if (method !== 'GET') throw new Error(`${rpc.path}: a stream of events is read by GET`);
  if (items?.fieldKind !== 'list' || items.listKind !== 'message') {
    throw new Error(`${rpc.path}: the response_body of a stream is a list of messages`);
  }
  return {
    items,
    eventId: fieldOf(rpc, items.message, eventId),
    lastEventId: fieldOf(rpc, rpc.desc.input, lastEventId),
    readUpTo: fieldOf(rpc, rpc.desc.output, readUpTo),
  };
}

function bodyOf(rpc: Method, body: string, template: Template): Route['body'] {
  if (body === '') return 'none';
  if (body === '*') return 'whole';
  if (template.variables.some(({ field }) => field.join('.') === body)) {
    throw new Error(`${rpc.path}: ${body} cannot be both the body and in the path`);
  }
  return fieldOf(rpc, rpc.desc.input, body);
}

/** A custom binding of the kind WEBSOCKET is a path at which a stream is served over a WebSocket. */
function patternOf(rpc: Method, rule: HttpRule): { method: string; path: string; websocket: boolean } {
  const { pattern } = rule;
  switch (pattern.case) {
    case 'get':
    case 'put':
    case 'post':
    case 'delete':
    case 'patch':
      return { method: pattern.case.toUpperCase(), path: pattern.value, websocket: false };
    case 'custom':
      return pattern.value.kind === 'WEBSOCKET'
        ? { method: 'GET', path: pattern.value.path, websocket: true }
        : { method: pattern.value.kind.toUpperCase(), path: pattern.value.path, websocket: false };
    case undefined:
      throw new Error(`${rpc.path}: google.api.http has no path`);
  }
}

function answerOf(rpc: Method): { status: number; location: string } & StreamFields {
  const answer = hasOption(rpc.desc, answerOption) ? getOption(rpc.desc, answerOption) : undefined;
  const { status = 0, location = '', eventId = '', lastEventId = '', readUpTo = '' } = answer ?? {};
  return { status: status || 200, location, eventId, lastEventId, readUpTo };
}

function locationOf(rpc: Method, location: string, answer: DescField | undefined): Template | undefined {
  if (location === '') return undefined;
  const template = parseTemplate(location);
  const desc = answer === undefined ? rpc.desc.output : answer.message;
  if (desc === undefined) throw new Error(`${rpc.path}: an answer that is no message has no location`);
  for (const variable of template.variables) checkVariable(rpc, desc, variable);
  return template;
}

function checkVariable(rpc: Method, desc: DescMessage, variable: Variable): void {
  let at: DescMessage | undefined = desc;
  let field: DescField | undefined;
  for (const name of variable.field) {
    if (at === undefined) throw new Error(`${rpc.path}: ${variable.field.join('.')} leads through a scalar`);
    field = fieldOf(rpc, at, name);
    at = field.message;
  }
  if (field?.fieldKind !== 'scalar' && field?.fieldKind !== 'enum') {
    throw new Error(`${rpc.path}: path variable ${variable.field.join('.')} is no scalar`);
  }
}

function fieldOf(rpc: Method, desc: DescMessage, name: string): DescField {
  const field = desc.fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`${rpc.path}: ${desc.typeName} has no field ${name}`);
  return field;
}
