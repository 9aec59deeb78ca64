import { create, createFileRegistry, fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, test } from 'vitest';
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
  type ServerReflectionResponse,
} from '../../gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as Alpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.js';
import { bearer, makeToken } from '../access/support/tokens.js';
import { startTestApp } from '../support/app.js';
import { declaredServices } from '../support/declared-services.js';
import { sharedTestApp } from '../support/shared-app.js';
import { runBuf } from '../support/wire/buf-curl-api.js';

const app = sharedTestApp();
const versions = { v1: ServerReflection, v1alpha: Alpha } as const;
type Question = NonNullable<MessageInitShape<typeof ServerReflectionRequestSchema>['messageRequest']>;

/** Asks one thing after the other on one stream. */
async function ask(
  version: keyof typeof versions,
  ...questions: readonly Question[]
): Promise<ServerReflectionResponse[]> {
  const client = createClient(
    versions[version] as typeof ServerReflection,
    createGrpcTransport({ baseUrl: app.current.url }),
  );
  const answers: ServerReflectionResponse[] = [];
  const asked = (async function* () {
    for (const messageRequest of questions) yield { host: 'h', messageRequest };
  })();
  for await (const answer of client.serverReflectionInfo(asked)) answers.push(answer);
  return answers;
}

function valueOf<T>(answer: ServerReflectionResponse | undefined): T {
  if (answer === undefined) throw new Error('no answer');
  return answer.messageResponse.value as T;
}

describe.each(['v1', 'v1alpha'] as const)('server reflection, %s', (version) => {
  test('lists every service that is served', async () => {
    const [answer] = await ask(version, { case: 'listServices', value: '' });
    expect(answer).toMatchObject({ validHost: 'h', originalRequest: { host: 'h' } });
    const names = valueOf<{ service: { name: string }[] }>(answer).service.map(({ name }) => name);
    const own = (await declaredServices()).map(({ typeName }) => typeName);
    expect(names).toEqual(
      [
        ...own,
        'grpc.health.v1.Health',
        'grpc.reflection.v1.ServerReflection',
        'grpc.reflection.v1alpha.ServerReflection',
      ].sort(),
    );
  });

  test.each<[Question['case'], Question]>([
    ['fileByFilename', { case: 'fileByFilename', value: 'muster/v1/jobs.proto' }],
    ['fileContainingSymbol', { case: 'fileContainingSymbol', value: 'muster.v1.JobService' }],
    ['fileContainingSymbol', { case: 'fileContainingSymbol', value: 'muster.v1.JobService.GetJob' }],
    ['fileContainingSymbol', { case: 'fileContainingSymbol', value: 'muster.v1.Job.payload' }],
    ['fileContainingSymbol', { case: 'fileContainingSymbol', value: 'muster.v1.JobStatus' }],
    ['fileContainingSymbol', { case: 'fileContainingSymbol', value: 'muster.v1.JOB_STATUS_QUEUED' }],
  ])('gives a file with all that it imports, by %s', async (_case, question) => {
    const [answer] = await ask(version, question);
    const { fileDescriptorProto: bytes } = valueOf<{ fileDescriptorProto: Uint8Array[] }>(answer);
    const file = bytes.map((each) => fromBinary(FileDescriptorProtoSchema, each));
    expect(file[0]?.name).toBe('muster/v1/jobs.proto');
    // Whole, or it could not be linked.
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.toReversed() }));
    expect(registry.getService('muster.v1.JobService')?.method['getJob']?.output.typeName).toBe(
      'muster.v1.GetJobResponse',
    );
  });

  test('knows extensions', async () => {
    const containingType = 'google.protobuf.MethodOptions';
    const [numbers, file, none] = await ask(
      version,
      { case: 'allExtensionNumbersOfType', value: containingType },
      { case: 'fileContainingExtension', value: { containingType, extensionNumber: 50101 } },
      { case: 'fileContainingExtension', value: { containingType, extensionNumber: 1 } },
    );
    expect(valueOf<{ extensionNumber: number[] }>(numbers).extensionNumber).toEqual(
      expect.arrayContaining([50101, 50102, 72295728]),
    );
    const [bytes] = valueOf<{ fileDescriptorProto: Uint8Array[] }>(file).fileDescriptorProto;
    expect(fromBinary(FileDescriptorProtoSchema, bytes ?? new Uint8Array()).name).toBe('muster/v1/options.proto');
    expect(none?.messageResponse).toMatchObject({ case: 'errorResponse', value: { errorCode: 5 } });
  });

  test('knows what is declared within messages', async () => {
    const names = [
      'grpc.health.v1.HealthCheckResponse.ServingStatus',
      'grpc.health.v1.HealthCheckResponse.SERVING',
      'grpc.reflection.v1.ServerReflectionRequest.message_request',
    ];
    const answers = await ask(version, ...names.map((value) => ({ case: 'fileContainingSymbol', value }) as const));
    expect(answers.map(({ messageResponse }) => messageResponse.case)).toEqual(
      names.map(() => 'fileDescriptorResponse'),
    );
  });

  test('says what there is not, and goes on', async () => {
    const answers = await ask(
      version,
      { case: 'fileByFilename', value: 'nothing.proto' },
      { case: 'fileContainingSymbol', value: 'muster.v1.Nothing' },
      { case: 'allExtensionNumbersOfType', value: 'Nothing' },
      { case: undefined },
      { case: 'listServices', value: '' },
    );
    expect(answers.map(({ messageResponse }) => messageResponse.case)).toEqual([
      ...Array<string>(4).fill('errorResponse'),
      'listServicesResponse',
    ]);
    expect(answers[3]?.messageResponse.value).toMatchObject({ errorCode: 3 });
  });

  test('is all that buf curl needs to make a call', async () => {
    const flags = [
      'curl',
      '--protocol',
      'grpc',
      '--http2-prior-knowledge',
      '--reflect',
      '--reflect-protocol',
      `grpc-${version}`,
    ];
    const { code, stdout, stderr } = await runBuf(
      [...flags, '-d', '{"kind": "reflected"}', `${app.current.url}/muster.v1.JobService/CreateJob`],
      '',
    );
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toMatchObject({ kind: 'reflected', status: 'JOB_STATUS_QUEUED' });
  });
});

test('takes a token like everything else', async () => {
  const own = await startTestApp();
  const human = await makeToken(own, { role: 'human' });
  const worker = bearer(await makeToken(own, { role: 'worker' }, human));
  const flags = ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', '--list-methods'];
  const refused = await runBuf([...flags, own.url], '');
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain('not authenticated');
  const listed = await runBuf([...flags, '--reflect-header', `Authorization: ${worker['authorization']}`, own.url], '');
  expect(listed.stdout).toContain('muster.v1.JobService/CreateJob');
});
