#!/usr/bin/env node
// A buf plugin: writes the comments of the proto files as a map from full name to text. protoc-gen-es leaves them out of
// the descriptors it embeds, and the OpenAPI document wants them.
import { createEcmaScriptPlugin, getComments, runNodeJs } from '@bufbuild/protoplugin';

const plugin = createEcmaScriptPlugin({
  name: 'protoc-gen-comments',
  version: 'v1',
  generateTs(schema) {
    const comments = {};
    const note = (name, desc) => {
      const text = getComments(desc).leading?.replace(/^ /gm, '').trim();
      if (text) comments[name] = text;
    };
    const message = (desc) => {
      note(desc.typeName, desc);
      desc.fields.forEach((field) => note(`${desc.typeName}.${field.name}`, field));
      desc.nestedMessages.forEach(message);
      desc.nestedEnums.forEach(enumeration);
    };
    const enumeration = (desc) => {
      note(desc.typeName, desc);
      desc.values.forEach((value) => note(`${desc.typeName}.${value.name}`, value));
    };
    for (const file of schema.files) {
      if (!file.proto.package.startsWith('muster.')) continue;
      file.messages.forEach(message);
      file.enums.forEach(enumeration);
      for (const service of file.services) {
        note(service.typeName, service);
        service.methods.forEach((method) => note(`${service.typeName}.${method.name}`, method));
      }
    }
    const out = schema.generateFile('comments.ts');
    out.print('/** Comments of the proto files by full name. Made by protoc-gen-comments; do not edit. */');
    out.print('export const comments: Readonly<Record<string, string>> = ', JSON.stringify(comments, null, 2), ';');
  },
});

runNodeJs(plugin);
