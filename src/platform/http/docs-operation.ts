import type { Method } from '../rpc/methods.js';
import { protoLink } from './docs-proto.js';
import { bufCommand, curlCommand, sampleBody } from './docs-sample.js';
import { about, fieldTable, inline, prose, table, typeName } from './docs-schema.js';
import { html, type Html, type Part } from './html.js';
import { commentOf } from './openapi-text.js';
import type { OpenApi, Operation, Parameter, Ref, Response } from './openapi-types.js';

/** An operation of the document and where it is found. */
export interface Place {
  readonly method: string;
  readonly path: string;
  readonly operation: Operation;
}

/** The section of one operation; `rpc` is the method behind it, if it is one. */
export function operationSection(document: OpenApi, place: Place, rpc: Method | undefined): Html {
  const { method, path, operation } = place;
  const parameters = (operation.parameters ?? []).map((each) => parameterOf(document, each));
  const body = operation.requestBody?.content['application/json'].schema;
  const sample = body && sampleBody(document, body);
  const scope = operation['x-muster-scope'];
  const streams = rpc !== undefined && isStream(rpc);
  return html`<section class="operation" id="${operation.operationId}">
    <h3>${badge(method)} <code>${path}</code> <a class="anchor" href="#${operation.operationId}" title="Link">#</a></h3>
    <p class="summary">${operation.deprecated && html`<strong>Deprecated.</strong> `}${sentence(operation.summary)}</p>
    ${prose(operation.description)} ${scope !== undefined && html`<p class="meta">Scope <code>${scope}</code></p>`}
    ${parameterTable(document, parameters)}
    ${
      body &&
      html`<h4>Body: ${typeName(body)}</h4>
        ${fieldTable(document, body)}`
    }
    <h4>Answers</h4>
    ${answerTable(document, operation)} ${command(curlCommand(method, path, sample, streams))}
    ${!streams && tryForm(place, parameters, sample)} ${rpc && rpcDetails(rpc)}
  </section>`;
}

/** The section of an RPC that has no REST path. */
export function rpcSection(rpc: Method): Html {
  const { desc } = rpc;
  const id = `${desc.parent.name}_${desc.name}`;
  return html`<section class="operation" id="${id}">
    <h3>
      ${badge(isStream(rpc) ? 'STREAM' : 'RPC')} <code>${rpc.path}</code>
      <a class="anchor" href="#${id}" title="Link">#</a>
    </h3>
    ${prose(commentOf(`${desc.parent.typeName}.${desc.name}`))}
    <p class="meta">Scope <code>${rpc.scope}</code></p>
    ${rpcFacts(rpc)}
  </section>`;
}

export function isStream({ desc }: Method): boolean {
  return desc.methodKind !== 'unary';
}

export function badge(method: string): Html {
  return html`<span class="badge ${method.toLowerCase()}">${method}</span>`;
}

/** A command to copy; the page's script shows the button, which is of no use without it. */
export function command(text: string): Html {
  return html`<div class="command">
    <pre>${text}</pre>
    <button type="button" class="copy" hidden>Copy</button>
  </div>`;
}

function rpcDetails(rpc: Method): Html {
  return html`<details>
    <summary>As RPC</summary>
    ${rpcFacts(rpc)}
  </details>`;
}

function rpcFacts(rpc: Method): readonly Html[] {
  const { input, output, methodKind } = rpc.desc;
  const bidi = methodKind === 'bidi_streaming';
  return [
    html`<p>
      Connect, gRPC and gRPC-Web: <code>POST ${rpc.path}</code><br />
      ${bidi && 'stream of '}${protoLink(input)} → ${methodKind !== 'unary' && 'stream of '}${protoLink(output)}
    </p>`,
    command(bufCommand(rpc.path, input, bidi)),
  ];
}

function sentence(text: string): readonly Part[] {
  return inline(/[.!?]$/.test(text) ? text : `${text}.`);
}

function parameterOf(document: OpenApi, parameter: Parameter | Ref): Parameter {
  if (!('$ref' in parameter)) return parameter;
  const found = document.components.parameters[nameOf(parameter)];
  if (found === undefined) throw new Error(`OpenAPI: no such parameter: ${parameter.$ref}`);
  return found;
}

function responseOf(document: OpenApi, response: Response | Ref): Response {
  if (!('$ref' in response)) return response;
  const found = document.components.responses[nameOf(response)];
  if (found === undefined) throw new Error(`OpenAPI: no such response: ${response.$ref}`);
  return found;
}

function nameOf({ $ref }: Ref): string {
  return $ref.split('/').at(-1) ?? '';
}

function parameterTable(document: OpenApi, parameters: readonly Parameter[]): Part {
  // Headers are the same everywhere; the overview tells of them.
  const shown = parameters.filter((parameter) => parameter.in !== 'header');
  if (shown.length === 0) return undefined;
  return [
    html`<h4>Parameters</h4>`,
    table(
      ['Name', 'In', 'Type', ''],
      shown.map(({ name, in: place, schema, description }) => [
        html`<code>${name}</code>`,
        place,
        typeName(schema),
        about(document, schema, description),
      ]),
    ),
  ];
}

function answerTable(document: OpenApi, operation: Operation): Html {
  const own = Object.entries(operation.responses).filter(([, response]) => !('$ref' in response));
  const errors = Object.entries(operation.responses).filter(
    ([status, response]) => '$ref' in response && status !== 'default',
  );
  const rows = own.map(([status, response]): readonly Part[] => {
    const { description, content, headers = {} } = responseOf(document, response);
    const named = Object.keys(headers).filter((name) => name !== 'X-Correlation-Id');
    return [
      html`<code>${status}</code> ${description}`,
      content && bodyType(content),
      named.map((name) => html`<code>${name}</code> `),
    ];
  });
  const links = errors.map(([status]) => html`<a href="#Error${status}">${status}</a> `);
  return table(
    ['Status', 'Body', 'Headers'],
    errors.length === 0 ? rows : [...rows, [links, html`<a href="#schema-Error">Error</a>`, '']],
  );
}

function bodyType(content: NonNullable<Response['content']>): Part {
  const events = content['text/event-stream']?.schema.contentSchema;
  if (events !== undefined) return html`stream of events: ${typeName(events)}`;
  const schema = content['application/json']?.schema;
  return schema && typeName(schema);
}

/** Sends the call from the page; the script shows it and fills the answer in. */
function tryForm({ method, path, operation }: Place, parameters: readonly Parameter[], sample: unknown): Html {
  const id = operation.operationId;
  const inputs = parameters
    .filter((parameter) => parameter.in !== 'header')
    .map(
      ({ name, in: place, schema }) =>
        html`<label>
          <span>${name}${schema.type === 'array' && ' (one a line)'}</span>
          ${
            schema.type === 'array'
              ? html`<textarea rows="2" name="${name}" data-in="${place}"></textarea>`
              : html`<input name="${name}" data-in="${place}" autocomplete="off" />`
          }
        </label>`,
    );
  const text = sample === undefined ? undefined : JSON.stringify(sample, null, 2);
  return html`<details class="try" hidden>
    <summary>Try it</summary>
    <form data-method="${method}" data-path="${path}" aria-label="Try ${id}">
      ${inputs}
      ${
        text !== undefined &&
        html`<label
          ><span>Body</span
          ><textarea rows="${text.split('\n').length}" data-in="body" spellcheck="false">${text}</textarea>
        </label>`
      }
      <button>Send</button>
      <output></output>
    </form>
  </details>`;
}
