import { html, type Html, type Part } from './html.js';
import type { OpenApi, Schema } from './openapi-types.js';

/** Markdown as our comments use it: paragraphs, lists, indented code and `code`. Everything else is plain text. */
export function prose(markdown: string | undefined): readonly Html[] {
  if (markdown === undefined) return [];
  return markdown.split(/\n{2,}/).map((block) => {
    const lines = block.split('\n');
    if (lines.every((line) => line.startsWith('    '))) {
      return html`<pre>${lines.map((line) => line.slice(4)).join('\n')}</pre>`;
    }
    if (lines.every((line) => line.startsWith('- '))) {
      return html`<ul>
        ${lines.map((line) => html`<li>${inline(line.slice(2))}</li>`)}
      </ul>`;
    }
    return html`<p>${inline(block)}</p>`;
  });
}

/** One line of it. */
export function inline(text: string): readonly Part[] {
  return text.split(/(`[^`]+`)/).map((part) => (/^`.+`$/.test(part) ? html`<code>${part.slice(1, -1)}</code>` : part));
}

/** The component that a schema refers to, if it does. */
export function componentOf(document: OpenApi, schema: Schema): { name: string; schema: Schema } | undefined {
  const name = schema.$ref?.split('/').at(-1);
  const found = name === undefined ? undefined : document.components.schemas[name];
  return name === undefined || found === undefined ? undefined : { name, schema: found };
}

/** What kind of value it is, in words: `string or null`, `array of Job`. */
export function typeName(schema: Schema): Part {
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) return html`<a href="#schema-${name}">${name}</a>`;
  if (schema.anyOf !== undefined) {
    return schema.anyOf.map((each, index) => [index > 0 && ' or ', typeName(each)]);
  }
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? []);
  if (types.length === 0) return 'any JSON';
  return types.map((type, index) => [index > 0 && ' or ', nameOfOne(type, schema)]);
}

function nameOfOne(type: string, schema: Schema): Part {
  switch (type) {
    case 'array':
      return ['array of ', typeName(schema.items ?? {})];
    case 'string':
      return schema.format === 'date-time' ? 'time' : (schema.contentEncoding ?? 'string');
    case 'object':
      return schema.properties === undefined ? 'object' : `{ ${Object.keys(schema.properties).join(', ')} }`;
    default:
      return type;
  }
}

/** The fields of an object; undefined for what is no object or has none. */
export function fieldTable(document: OpenApi, schema: Schema): Html | undefined {
  const fields = Object.entries((componentOf(document, schema)?.schema ?? schema).properties ?? {});
  if (fields.length === 0) return undefined;
  return table(
    ['Field', 'Type', ''],
    fields.map(([name, field]) => [html`<code>${name}</code>`, typeName(field), about(document, field)]),
  );
}

/** What there is to say of a field or parameter, the words it may have included. */
export function about(document: OpenApi, schema: Schema, description = schema.description): readonly Part[] {
  const words = wordsOf(document, schema);
  return [
    schema.deprecated && html`<strong>Deprecated.</strong> `,
    inline(description ?? ''),
    words && [
      description !== undefined && ' ',
      words.map((word, index) => [index > 0 && ', ', html`<code>${word}</code>`]),
    ],
  ];
}

function wordsOf(document: OpenApi, schema: Schema): readonly string[] | undefined {
  const candidates = [schema, ...(schema.anyOf ?? []), ...(schema.items === undefined ? [] : [schema.items])];
  return candidates.map((each) => each.enum ?? componentOf(document, each)?.schema.enum).find((each) => each);
}

/** Scrolls sideways on a narrow screen instead of widening the page. */
export function table(heads: readonly string[], rows: readonly (readonly Part[])[]): Html {
  return html`<div class="table">
    <table>
      <thead>
        <tr>
          ${heads.map((head) => html`<th>${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (cells) =>
            html`<tr>
              ${cells.map((cell) => html`<td>${cell}</td>`)}
            </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
