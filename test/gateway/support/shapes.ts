import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createFileRegistry, type DescMessage, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { type Handlers, type Service, service } from '../../../src/platform/rpc/methods.js';

export interface Shapes {
  readonly service: Service;
  message(name: string): DescMessage;
}

/** Compiles shapes.proto, which has what the product's own files do not, or not yet. Takes half a second. */
export function compileShapes(): Shapes {
  const folder = mkdtempSync(path.join(tmpdir(), 'muster-shapes-'));
  try {
    const file = path.join(folder, 'shapes.binpb');
    const config = readFileSync('buf.yaml', 'utf8').replace('modules:\n', 'modules:\n  - path: test/gateway/support\n');
    const yaml = path.join(folder, 'buf.yaml');
    writeFileSync(yaml, config);
    execFileSync('node_modules/.bin/buf', ['build', '--config', yaml, '-o', file]);
    const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(file)));
    const desc = registry.getService('shapes.v1.ShapeService');
    if (desc === undefined) throw new Error('shapes.proto has no ShapeService');
    const handlers = new Proxy({}, { get: () => () => undefined }) as Handlers;
    return {
      service: service(desc, handlers),
      message(name) {
        const found = registry.getMessage(`shapes.v1.${name}`);
        if (found === undefined) throw new Error(`shapes.proto has no ${name}`);
        return found;
      },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
