import { createHash } from 'node:crypto';
import type { Service } from '../rpc/methods.js';
import { badge, isStream, operationSection, type Place, rpcSection } from './docs-operation.js';
import { protoMessages } from './docs-proto.js';
import { fieldTable, prose, table, typeName } from './docs-schema.js';
import { script } from './docs-script.js';
import { style } from './docs-style.js';
import { html, type Html, type Part, trusted } from './html.js';
import type { OpenApi, Schema } from './openapi-types.js';

export interface DocsPage {
  readonly html: string;
  /** Its Content-Security-Policy: nothing but its own style and script, and calls to the server it came from. */
  readonly policy: string;
}

/** The whole documentation as one page that needs nothing else, from the OpenAPI document and the services behind it. */
export function createDocsPage(document: OpenApi, services: readonly Service[]): DocsPage {
  const { title, version, description } = document.info;
  const groups = document.tags.map((tag) => groupOf(document, tag.name, tag.description, services));
  const page = html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title} API ${version}</title>
        <link rel="icon" href="data:," />
        ${trusted(`<style>${style}</style>`)}
      </head>
      <body>
        <nav aria-label="Contents">
          <p class="brand"><a href="#overview">${title}</a> <small>${version}</small></p>
          <input type="search" id="filter" placeholder="Filter" aria-label="Filter operations" hidden />
          ${groups.map(({ nav }) => nav)}
          <h2>Reference</h2>
          <ul>
            <li><a href="#errors">Errors</a></li>
            <li><a href="#schemas">Schemas</a></li>
            <li><a href="#messages">RPC messages</a></li>
          </ul>
        </nav>
        <main>
          <header id="overview">
            <h1>${title} API <small>${version}</small></h1>
            ${prose(description)}
            <p>
              For programs: <a href="/openapi.json">openapi.json</a> (OpenAPI ${document.openapi}). The examples of
              <code>buf curl</code> are for a checkout of Muster, whose folder <code>proto</code> they read.
            </p>
          </header>
          ${groups.map(({ sections }) => sections)} ${errors(document)} ${schemas(document)}
          <section id="messages">
            <h2>RPC messages</h2>
            <p>
              What Connect, gRPC and gRPC-Web carry, in the language of protobuf. In its JSON, names are in camelCase
              and enum values have their names from here.
            </p>
            ${protoMessages(services)}
          </section>
        </main>
        ${trusted(`<script>${script}</script>`)}
      </body>
    </html> `;
  return { html: page.text, policy: policyOf([style], [script]) };
}

/** Hashes rather than a nonce: the page stays the same for every request, so that it can be cached. */
function policyOf(styles: readonly string[], scripts: readonly string[]): string {
  const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  return [
    "default-src 'none'",
    `style-src ${styles.map(hash).join(' ')}`,
    `script-src ${scripts.map(hash).join(' ')}`,
    "connect-src 'self'",
    // The empty icon, which keeps browsers from asking for another.
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}

interface Group {
  readonly nav: Html;
  readonly sections: Html;
}

function groupOf(document: OpenApi, tag: string, description: string, services: readonly Service[]): Group {
  const places = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).flatMap(([method, operation]): readonly Place[] =>
      operation.tags.includes(tag) ? [{ method: method.toUpperCase(), path, operation }] : [],
    ),
  );
  const methods = services.find(({ desc }) => desc.name === tag)?.methods ?? [];
  const overRest = new Set(places.map(({ operation }) => operation['x-muster-rpc']));
  const rpcOnly = methods.filter(({ path }) => !overRest.has(path));
  const links = [
    ...places.map(({ method, path, operation }) => navItem(operation.operationId, method, path)),
    ...rpcOnly.map((rpc) => navItem(`${tag}_${rpc.desc.name}`, isStream(rpc) ? 'STREAM' : 'RPC', rpc.desc.name)),
  ];
  return {
    nav: html`<h2><a href="#${tag}">${tag}</a></h2>
      <ul>
        ${links}
      </ul>`,
    sections: html`<section id="${tag}">
      <h2>${tag}</h2>
      ${prose(description)}
      ${places.map((place) => {
        const rpc = methods.find(({ path }) => path === place.operation['x-muster-rpc']);
        return operationSection(document, place, rpc);
      })}
      ${rpcOnly.map(rpcSection)}
    </section>`,
  };
}

function navItem(id: string, method: string, label: string): Html {
  return html`<li>
    <a href="#${id}" title="${label}">${badge(method)}<span>${label}</span></a>
  </li> `;
}

function errors(document: OpenApi): Html {
  const rows = Object.entries(document.components.responses).flatMap(
    ([name, response]): readonly (readonly Part[])[] => {
      const schema = response.content?.['application/json']?.schema;
      const words = schema?.properties?.['error']?.enum;
      if (words === undefined) return [];
      const more = Object.keys(schema?.properties ?? {}).filter((field) => field !== 'error' && field !== 'code');
      const headers = Object.keys(response.headers ?? {}).filter((header) => header !== 'X-Correlation-Id');
      return [
        [
          html`<code id="${name}">${name.replace('Error', '')}</code>`,
          words.map((word) => html`<code>${word}</code> `),
          [...more, ...headers].map((word) => html`<code>${word}</code> `),
        ],
      ];
    },
  );
  return html`<section id="errors">
    <h2>Errors</h2>
    <p>
      Every error has the same body, ${typeName({ $ref: '#/components/schemas/Error' })}. Over RPC, a typed detail says
      the same.
    </p>
    ${table(['Status', 'Words', 'Besides'], rows)}
  </section>`;
}

function schemas(document: OpenApi): Html {
  return html`<section id="schemas">
    <h2>Schemas</h2>
    <p>The JSON of REST.</p>
    ${Object.entries(document.components.schemas).map(([name, schema]) => schemaSection(document, name, schema))}
  </section>`;
}

function schemaSection(document: OpenApi, name: string, schema: Schema): Html {
  return html`<section class="schema" id="schema-${name}">
    <h3>${name}</h3>
    ${prose(schema.description)}
    ${schema.enum && html`<p>One of ${schema.enum.map((word) => html`<code>${word}</code> `)}</p>`}
    ${fieldTable(document, schema)}
  </section>`;
}
