// Muster's own .proto files for @grpc/grpc-js, which reads them at run time: peers answer the very message that Muster
// answers.

import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import protoLoader from '@grpc/proto-loader';

const require = createRequire(import.meta.url);
const PROTO_DIR = fileURLToPath(new URL('../../proto', import.meta.url));
// The google/api imports come from a development dependency of the main package.
const GOOGLE_DIR = dirname(require.resolve('google-proto-files/package.json'));

/** The client constructor of a service such as `muster.v1.JobService`; `.service` is its definition. */
export function loadService(name) {
  const definition = protoLoader.loadSync('muster/v1/jobs.proto', {
    includeDirs: [PROTO_DIR, GOOGLE_DIR],
    longs: Number,
    enums: String,
    oneofs: true,
  });
  return name.split('.').reduce((scope, part) => scope[part], grpc.loadPackageDefinition(definition));
}
