import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkArchitecture, type Violation } from './support/architecture/rules.js';
import { readSource } from './support/architecture/source.js';

/** What is known to stand in the wrong room. This list may only shrink. */
const exceptions: readonly string[] = [];

test('every line of this tree stands in its room', () => {
  const found = checkArchitecture(process.cwd()).map(text);
  expect(found.filter((each) => !exceptions.includes(each))).toEqual([]);
  expect(exceptions.filter((each) => !found.includes(each))).toEqual([]);
});

/** What is planted, where, and what is to be found. */
type Planted = readonly [name: string, files: Readonly<Record<string, string>>, ...found: string[]];

describe('the rule catches', () => {
  const planted: readonly Planted[] = [
    [
      'platform that imports a module',
      { 'src/platform/log.ts': `import { createJobs } from '../modules/x/index.js';` },
      'src/platform/log.ts: imports src/modules/x/index.ts',
      'src/platform/log.ts: domain word jobs',
    ],
    [
      'a type import that points up',
      { 'src/modules/x/service.ts': `import type { App } from '../../app.js';` },
      'src/modules/x/service.ts: imports src/app.ts',
    ],
    [
      'a dynamic import that points up',
      { 'src/errors.ts': `const log = await import('./platform/log.js');` },
      'src/errors.ts: imports src/platform/log.ts',
    ],
    [
      'a type taken by import()',
      { 'src/errors.ts': `export type Log = import("./platform/log.js").Log;` },
      'src/errors.ts: imports src/platform/log.ts',
    ],
    [
      'an export that points up',
      { 'src/sandbox/a.ts': `export * from '../mcp/b.js';\nexport type { C } from '../app.js';` },
      'src/sandbox/a.ts: imports src/mcp/b.ts',
      'src/sandbox/a.ts: imports src/app.ts',
    ],
    [
      'an import for its effects, and one over several lines',
      { 'src/errors.ts': `import './app.js';\nimport {\n  type A,\n  b as c,\n} from './settings.js';` },
      'src/errors.ts: imports src/app.ts',
      'src/errors.ts: imports src/settings.ts',
    ],
    [
      'a neighbour on the same floor',
      { 'src/migrations/1.ts': `import { x } from '../modules/x/index.js';` },
      'src/migrations/1.ts: imports src/modules/x/index.ts',
    ],
    [
      'production code that imports a test',
      { 'src/app.ts': `import { x } from '../test/support/x.js';` },
      'src/app.ts: imports test/support/x.ts',
    ],
    [
      'a room nobody planned',
      { 'src/util/x.ts': '' },
      'src/util/x.ts: imports src/util is no room that the rule knows',
    ],
    [
      "a sibling's back door",
      { 'src/modules/a/service.ts': `import { find } from '../b/store.js';`, 'src/modules/b/store.ts': '' },
      'src/modules/a/service.ts: siblings src/modules/b/store.ts',
    ],
    [
      'modules in a circle',
      {
        'src/modules/a/x.ts': `import { b } from '../b/index.js';`,
        'src/modules/b/x.ts': `import { c } from '../c/index.js';`,
        'src/modules/c/x.ts': `import { a } from '../a/index.js';`,
        'src/modules/d/x.ts': `import { a } from '../a/index.js';`,
      },
      'src/modules/a/x.ts: circle a > b > a',
      'src/modules/b/x.ts: circle b > c > b',
      'src/modules/c/x.ts: circle c > a > c',
    ],
    [
      'generated code outside of rpc.ts',
      {
        'src/modules/a/service.ts': `import type { Job } from '../../../gen/muster/v1/jobs_pb.js';`,
        'src/modules/a/rpc.ts': `import { JobService } from '../../../gen/muster/v1/jobs_pb.js';`,
        'src/platform/db/a.ts': `import { X } from '../../../gen/muster/v1/x_pb.js';`,
        'src/platform/rpc/a.ts': `import { X } from '../../../gen/muster/v1/x_pb.js';`,
        'src/client/a.ts': `import { X } from '../../gen/muster/v1/x_pb.js';`,
      },
      'src/modules/a/service.ts: gen gen/muster/v1/jobs_pb.ts',
      'src/platform/db/a.ts: gen gen/muster/v1/x_pb.ts',
    ],
    [
      'fastify outside of platform/http',
      {
        'src/app.ts': `import fastify from 'fastify';\nimport type { X } from '@fastify/static';`,
        'src/platform/http/server.ts': `import fastify from 'fastify';`,
      },
      'src/app.ts: fastify fastify',
      'src/app.ts: fastify @fastify/static',
    ],
    [
      'SQL outside of the store',
      {
        'src/modules/a/service.ts': 'const q = `SELECT id\n FROM t WHERE x = ${`${y}`} `;\n// DELETE FROM t\n',
        'src/modules/a/rpc.ts': `const q = "update"; db.query('UPDATE t SET x = 1'); db.query("INSERT INTO t VALUES (1)");`,
        'src/modules/a/a.ts': `throw new Error('SELECT one of these; UPDATE it; DELETE /v1/jobs/x');`,
        'src/modules/a/store-list.ts': `const q = 'DELETE FROM t';`,
        'src/migrations/1.ts': `const q = 'CREATE TABLE t ()';`,
        'src/cli/x.ts': `const q = 'DROP TABLE t';`,
      },
      'src/cli/x.ts: sql DROP TABLE t',
      'src/modules/a/rpc.ts: sql UPDATE t SET x = 1',
      'src/modules/a/rpc.ts: sql INSERT INTO t VALUES (1)',
      'src/modules/a/service.ts: sql SELECT id\n FROM t WHERE x =',
    ],
    [
      'a platform that knows the domain',
      {
        'src/platform/x.ts': `// a job is fine in a comment\nconst maxTasksPerCall = 1; const aggregate = gateway('review');`,
      },
      'src/platform/x.ts: domain word tasks',
      'src/platform/x.ts: domain word review',
    ],
    [
      'a file over 500 lines',
      {
        'src/cli/long.ts': '\n'.repeat(501),
        'src/cli/just.ts': '\n'.repeat(500),
        'test/long.test.ts': '\n'.repeat(600),
      },
      'src/cli/long.ts: length over 500 lines',
      'test/long.test.ts: length over 500 lines',
    ],
    [
      'an acceptance test that looks inside',
      {
        'test/acceptance/a.test.ts': `import { startApp } from '../../src/app.js';\nimport { x } from '../support/rest.js';`,
        'test/gateway/a.test.ts': `import { startApp } from '../../src/app.js';`,
      },
      'test/acceptance/a.test.ts: acceptance src/app.ts',
    ],
  ];
  test.each(planted.map(([name, files, ...found]) => ({ name, files, found })))('$name', ({ files, found }) => {
    expect(checkArchitecture(plant(files)).map(text)).toEqual(found);
  });
});

test('a well-built tree has no violation', () => {
  const root = plant({
    'src/main.ts': `import { run } from './cli/run.js';`,
    'src/cli/run.ts': `import { startApp } from '../app.js';\nimport { c } from '../client/index.js';`,
    'src/app.ts': `import { createA } from './modules/a/index.js';\nimport { x } from './settings.js';`,
    'src/settings.ts': `import { parse } from './platform/config.js';`,
    'src/client/index.ts': `import { A } from '../../gen/a_pb.js';`,
    'src/modules/a/index.ts': `export { createA } from './service.js';`,
    'src/modules/a/service.ts': `import { createB } from '../b/index.js';\nimport pg from 'pg';`,
    'src/modules/b/index.ts': `export const createB = () => import('node:fs');`,
    'src/platform/config.ts': `import { AppError } from '../errors.js';`,
    'src/errors.ts': '',
    'test/a.test.ts': `import { createA } from '../src/modules/a/index.js';`,
  });
  expect(checkArchitecture(root).map(text)).toEqual([]);
});

test('comments, strings and regular expressions are told apart', () => {
  const source = readSource(
    [
      `import a from 'a'; // import b from 'b';`,
      `/* import c from 'c'; */ const d = "it's // no comment";`,
      'const e = `x ${f({ g: `y ${h} z` })} // w`; const i = /[/*\'"`]\\/"/g.test(j) ? 4 / 2 : 1;',
      `export { k } from 'k';`,
    ].join('\n'),
  );
  expect(source.imports).toEqual(['a', 'k']);
  expect(source.strings).toEqual(['a', `it's // no comment`, 'x ', 'y ', ' z', ' // w', 'k']);
  expect(source.code).not.toContain('import b');
  expect(source.code).not.toContain('import c');
  expect(source.lines).toBe(4);
});

function text({ file, rule, what }: Violation): string {
  return `${file}: ${rule} ${what}`;
}

/** A tree of these files in a folder of its own. */
function plant(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(path.join(tmpdir(), 'muster-architecture-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  for (const [name, content] of Object.entries({ 'src/errors.ts': '', 'test/x.test.ts': '', ...files })) {
    mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
    writeFileSync(path.join(root, name), content);
  }
  return root;
}
