import { readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { DescFile, DescService } from '@bufbuild/protobuf';
import { type Handlers, type Service, service } from '../../src/platform/rpc/methods.js';

const folder = fileURLToPath(new URL('../../gen/muster/v1/', import.meta.url));

/** Every service that the proto files declare, whether or not the server has it. */
export async function declaredServices(): Promise<readonly DescService[]> {
  const names = readdirSync(folder).filter((name) => name.endsWith('_pb.ts'));
  const modules = await Promise.all(
    names.map(async (name) => (await import(pathToFileURL(path.join(folder, name)).href)) as Record<string, unknown>),
  );
  return modules
    .flatMap((module) => Object.values(module))
    .filter((each): each is DescFile => (each as { kind?: unknown } | null)?.kind === 'file')
    .flatMap((file) => file.services);
}

/** The same, as `service()` makes them: for the route table and what is made from it. Nobody answers their calls. */
export async function declaredStubs(): Promise<readonly Service[]> {
  const handlers = new Proxy({}, { get: () => () => undefined }) as Handlers;
  return (await declaredServices()).map((desc) => service(desc, handlers));
}
