import { type DescEnum, type DescField, type DescMessage, ScalarType } from '@bufbuild/protobuf';
import { comments } from '../../../gen/comments.js';
import type { Service } from '../rpc/methods.js';
import { html, type Html, type Part } from './html.js';
import { shortName } from './openapi-schema.js';

type Desc = DescMessage | DescEnum;

/** Every message and enum of the services' RPCs as its proto source, each under the anchor `message-<name>`. */
export function protoMessages(services: readonly Service[]): readonly Html[] {
  const found = new Map<string, Desc>();
  for (const { desc } of services.flatMap((service) => service.methods)) {
    collect(desc.input, found);
    collect(desc.output, found);
  }
  const sorted = [...found.values()].sort((a, b) => (shortName(a) < shortName(b) ? -1 : 1));
  return sorted.map((desc) => html`<pre class="proto" id="message-${shortName(desc)}">${proto(desc)}</pre>`);
}

/** A link to a message of ours; the well-known types of protobuf are only named. */
export function protoLink(desc: Desc): Part {
  return isOurs(desc) ? html`<a href="#message-${shortName(desc)}">${shortName(desc)}</a>` : desc.typeName;
}

function isOurs(desc: Desc): boolean {
  return !desc.file.proto.package.startsWith('google.');
}

function collect(desc: Desc, into: Map<string, Desc>): void {
  if (!isOurs(desc) || into.has(desc.typeName)) return;
  into.set(desc.typeName, desc);
  if (desc.kind === 'enum') return;
  for (const field of desc.fields) {
    const type = field.message ?? field.enum;
    if (type !== undefined) collect(type, into);
  }
}

function proto(desc: Desc): readonly Part[] {
  const head = [comment(desc.typeName, ''), html`<b>${desc.kind}</b> `, shortName(desc), ' {\n'];
  if (desc.kind === 'enum') {
    const values = desc.values.map((value) => [
      comment(`${desc.typeName}.${value.name}`, '  '),
      `  ${value.name} = ${value.number};\n`,
    ]);
    return [head, values, '}'];
  }
  const members = desc.members.map((member) =>
    member.kind === 'oneof'
      ? [`  oneof ${member.name} {\n`, member.fields.map((field) => fieldLine(field, '    ')), '  }\n']
      : fieldLine(member, '  '),
  );
  return [head, members, '}'];
}

function fieldLine(field: DescField, indent: string): Part {
  const label = field.fieldKind === 'list' ? 'repeated ' : field.proto.proto3Optional ? 'optional ' : '';
  const named = field.message ?? field.enum;
  const type = named === undefined ? scalarName(field) : protoLink(named);
  return [
    comment(`${field.parent.typeName}.${field.name}`, indent),
    indent,
    html`<b>${label}</b>`,
    type,
    ` ${field.name} = ${field.number};\n`,
  ];
}

function scalarName(field: DescField): string {
  return field.scalar === undefined ? field.fieldKind : ScalarType[field.scalar].toLowerCase();
}

function comment(fullName: string, indent: string): Part {
  const lines = comments[fullName]?.split('\n') ?? [];
  return lines.map((line) => [indent, html`<i>// ${line}</i>`, '\n']);
}
