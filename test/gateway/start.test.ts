import type { FileRegistry } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, test } from 'vitest';
import { parseTemplate } from '../../src/platform/http/gateway/template.js';
import { type Handlers, service, type Service } from '../../src/platform/rpc/methods.js';
import { compile, serviceOf } from '../support/fixtures/compile.js';
import { createFixtureServer, libraryService } from '../support/fixtures/library.js';

/** A service of one or more methods, each between braces, on messages of every kind. */
const proto = (name: string, methods: string, scope = 'option (muster.v1.scope) = "a.b";', more = ''): string => `
  syntax = "proto3";
  package ${name}.v1;
  import "google/api/annotations.proto";
  import "google/protobuf/struct.proto";
  import "google/protobuf/timestamp.proto";
  import "muster/v1/options.proto";
  service S { ${methods.replaceAll('{}', `{ ${scope} }`).replaceAll('HTTP', `${scope} option (google.api.http) =`)} }
  message Q {
    string id = 1; N n = 2; repeated string list = 3; google.protobuf.Timestamp at = 4; google.protobuf.Value any = 5;
    E e = 6; bool flag = 7;
  }
  message N { string id = 1; N n = 2; }
  message A { string id = 1; N n = 2; }
  enum E { E_UNSPECIFIED = 0; E_ONE = 1 [(muster.v1.word) = "one"]; }
  ${more}
`;

const one = (http: string): string => `rpc M(Q) returns (A) { HTTP {${http}}; }`;

/** What may not start, and what it says. */
const bad: Readonly<Record<string, readonly [methods: string, message: string]>> = {
  samePath: [
    'rpc M(Q) returns (A) { HTTP {get: "/v1/x"}; } rpc O(Q) returns (A) { HTTP {get: "/v1/x"}; }',
    'routes clash: GET /v1/x and /v1/x',
  ],
  sameShape: [
    'rpc M(Q) returns (A) { HTTP {get: "/v1/{id}/a"}; } rpc O(Q) returns (A) { HTTP {get: "/v1/{n.id}/a"}; }',
    'routes clash: GET /v1/{id}/a and /v1/{n.id}/a',
  ],
  sameShapeOfPattern: [
    'rpc M(Q) returns (A) { HTTP {get: "/v1/{id=x/*}"}; } rpc O(Q) returns (A) { HTTP {get: "/v1/x/{id}"}; }',
    'routes clash: GET /v1/{id=x/*} and /v1/x/{id}',
  ],
  sameRest: [
    'rpc M(Q) returns (A) { HTTP {get: "/v1/{id=**}"}; } rpc O(Q) returns (A) { HTTP {get: "/v1/**"}; }',
    'routes clash: GET /v1/{id=**} and /v1/**',
  ],
  sameVerb: [
    'rpc M(Q) returns (A) { HTTP {post: "/v1/{id}:go"}; } rpc O(Q) returns (A) { HTTP {post: "/v1/*:go"}; }',
    'routes clash: POST /v1/{id}:go and /v1/*:go',
  ],
  sameCustom: [
    'rpc M(Q) returns (A) { HTTP {get: "/v1/x"}; } rpc O(Q) returns (A) { HTTP {custom: {kind: "get" path: "/v1/x"}}; }',
    'routes clash: GET /v1/x and /v1/x',
  ],
  additional: [one('get: "/v1/x" additional_bindings {get: "/v1/x"}'), 'routes clash: GET /v1/x and /v1/x'],
  withPlain: [one('get: "/healthz"'), 'routes clash: GET /healthz and /healthz'],
  noSuchVariable: [one('get: "/v1/{nobody}"'), '/noSuchVariable.v1.S/M: noSuchVariable.v1.Q has no field nobody'],
  noSuchNested: [one('get: "/v1/{n.nobody}"'), '/noSuchNested.v1.S/M: noSuchNested.v1.N has no field nobody'],
  throughScalar: [one('get: "/v1/{id.x}"'), '/throughScalar.v1.S/M: id.x leads through a scalar'],
  listVariable: [one('get: "/v1/{list}"'), '/listVariable.v1.S/M: path variable list is no scalar'],
  messageVariable: [one('get: "/v1/{n}"'), '/messageVariable.v1.S/M: path variable n is no scalar'],
  sameVariable: [one('get: "/v1/{id}/{id}"'), "path template '/v1/{id}/{id}': id is there twice"],
  noSuchBody: [one('post: "/v1/x" body: "nobody"'), '/noSuchBody.v1.S/M: noSuchBody.v1.Q has no field nobody'],
  bodyOfPath: [one('post: "/v1/{id}" body: "id"'), '/bodyOfPath.v1.S/M: id cannot be both the body and in the path'],
  noSuchAnswer: [
    one('get: "/v1/x" response_body: "nobody"'),
    '/noSuchAnswer.v1.S/M: noSuchAnswer.v1.A has no field nobody',
  ],
  wholeAnswer: [one('get: "/v1/x" response_body: "*"'), '/wholeAnswer.v1.S/M: wholeAnswer.v1.A has no field *'],
  noPath: [one('body: "*"'), '/noPath.v1.S/M: google.api.http has no path'],
  noSuchLocation: [
    'rpc M(Q) returns (A) { option (muster.v1.rest_answer) = {location: "/v1/{nobody}"}; HTTP {get: "/v1/x"}; }',
    '/noSuchLocation.v1.S/M: noSuchLocation.v1.A has no field nobody',
  ],
  scalarLocation: [
    'rpc M(Q) returns (A) { option (muster.v1.rest_answer) = {location: "/v1/{id}"}; HTTP {get: "/v1/x" response_body: "id"}; }',
    '/scalarLocation.v1.S/M: an answer that is no message has no location',
  ],
  bidiWithPath: [
    'rpc M(stream Q) returns (stream A) { HTTP {get: "/v1/x"}; }',
    '/bidiWithPath.v1.S/M: streams both ways have no REST path',
  ],
  streamByPost: [
    'rpc M(Q) returns (stream A) { HTTP {post: "/v1/x" response_body: "id"}; }',
    '/streamByPost.v1.S/M: a stream of events is read by GET',
  ],
  streamOfWhole: [
    'rpc M(Q) returns (stream A) { HTTP {get: "/v1/x"}; }',
    '/streamOfWhole.v1.S/M: the response_body of a stream is a list of messages',
  ],
  streamWithoutIds: [
    'rpc M(Q) returns (stream Y) { HTTP {get: "/v1/x" response_body: "q"}; }',
    '/streamWithoutIds.v1.S/M: streamWithoutIds.v1.Q has no field ',
  ],
  clientStream: ['rpc M(stream Q) returns (A) {}', 'clientStream.v1.S.M: client streaming is not used here'],
  noScope: ['rpc M(Q) returns (A) {}', 'noScope.v1.S.M declares no scope'],
  emptyScope: ['rpc M(Q) returns (A) {}', 'emptyScope.v1.S.M declares no scope'],
  noWord: ['rpc M(W) returns (A) {}', 'noWord.v1.F: F_TWO has no word'],
  noWordInAnswer: ['rpc M(Q) returns (W) {}', 'noWordInAnswer.v1.F: F_TWO has no word'],
  noWordWithin: ['rpc M(V) returns (A) {}', 'noWordWithin.v1.F: F_TWO has no word'],
  sameWord: ['rpc M(T) returns (A) {}', "sameWord.v1.G: the word 'one' is there twice"],
  mapField: ['rpc M(P) returns (A) {}', 'mapField.v1.P.map: map fields are not supported; use a Struct'],
};

const more = `
  message W { F f = 1; }
  message V { repeated W w = 1; V again = 2; }
  message T { G g = 1; }
  enum F { F_UNSPECIFIED = 0; F_ONE = 1 [(muster.v1.word) = "one"]; F_TWO = 2; }
  enum G { G_UNSPECIFIED = 0; G_ONE = 1 [(muster.v1.word) = "one"]; G_TWO = 2 [(muster.v1.word) = "one"]; }
  message P { map<string, string> map = 1; }
  message Y { repeated Q q = 1; }
`;

const scopes: Readonly<Record<string, string>> = { noScope: '', emptyScope: 'option (muster.v1.scope) = "";' };

let registry: FileRegistry | undefined;
beforeAll(async () => {
  const files = Object.entries(bad).map(([name, [methods]]) => [
    `${name}.proto`,
    proto(name, methods, scopes[name], more),
  ]);
  registry = await compile(Object.fromEntries(files) as Record<string, string>);
});

const known = (): FileRegistry => {
  if (registry === undefined) throw new Error('not compiled');
  return registry;
};

function bound(name: string): Service {
  const desc = serviceOf(known(), `${name}.v1.S`);
  const handlers = Object.fromEntries(desc.methods.map(({ localName }) => [localName, () => ({})]));
  return service(desc, handlers as unknown as Handlers);
}

describe('a server does not start with', () => {
  test.each(Object.entries(bad).map(([name, [, message]]) => [name, message] as const))('%s', async (name, message) => {
    const start = async () =>
      createFixtureServer({
        services: [bound(name)],
        plainRoutes: [{ method: 'GET', path: '/healthz', access: 'nothing', handle: () => 'ok' }],
      });
    await expect(start()).rejects.toThrow(new Error(message));
  });

  test('a method without a handler', () => {
    const desc = serviceOf(known(), 'fixture.v1.LibraryService');
    expect(() => service(desc, {} as Handlers)).toThrow('fixture.v1.LibraryService.GetBook has no handler');
  });

  test('a service that is there twice', async () => {
    const library = libraryService(known(), []);
    await expect(createFixtureServer({ services: [library, library] })).rejects.toThrow(
      'routes clash: /fixture.v1.LibraryService/GetBook and /fixture.v1.LibraryService/GetBook',
    );
  });
});

describe('path templates', () => {
  test.each([
    ['', 'it must begin with /'],
    ['v1/x', 'it must begin with /'],
    ['/', 'a segment is empty at 1'],
    ['/v1/', 'a segment is empty at 4'],
    ['/v1//x', 'a segment is empty at 4'],
    ['/v1/{id', 'a variable is not closed'],
    ['/v1/{id=*', 'a variable is not closed'],
    ['/v1/id}', "unexpected '}' at 6"],
    ['/v1/{}', "'' is no field"],
    ['/v1/{a..b}', "'a..b' is no field"],
    ['/v1/{1a}', "'1a' is no field"],
    ['/v1/{a b}', "'a b' is no field"],
    ['/v1/{a={b}}', 'a variable may not hold another'],
    ['/v1/{a=}', 'a segment is empty at 7'],
    ['/v1/**/x', '** may only be the last segment'],
    ['/v1/{a=**}/x', '** may only be the last segment'],
    ['/v1/{a=**/x}', '** may only be the last segment'],
    ['/v1/x*', "unexpected '*' at 5"],
    ['/v1/{a}b', "unexpected 'b' at 7"],
    ['/v1/a{b}', "unexpected '{' at 5"],
    ['/v1/x:', 'the verb is malformed'],
    ['/v1/x:a/b', 'the verb is malformed'],
    ['/v1/x:a:b', 'the verb is malformed'],
    ['/v1/x?a=b', "unexpected '?' at 5"],
    ['/v1/%zz', 'a segment is not percent-encoded UTF-8'],
  ])('%s', (template, message) => {
    expect(() => parseTemplate(template)).toThrow(new Error(`path template '${template}': ${message}`));
  });
});
