import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { readSource, type Source } from './source.js';

/** One line that stands in the wrong room, or a file that has outgrown its own. */
export interface Violation {
  /** From the root, with forward slashes. */
  readonly file: string;
  readonly rule:
    'imports' | 'siblings' | 'circle' | 'gen' | 'fastify' | 'sql' | 'domain word' | 'length' | 'acceptance';
  readonly what: string;
}

/** Higher rooms may import lower ones, and themselves; not their neighbours on the same floor. */
const floors: Readonly<Record<string, number>> = {
  main: 8,
  cli: 7,
  app: 6,
  settings: 5,
  modules: 4,
  mcp: 4,
  migrations: 4,
  client: 4,
  console: 4,
  sandbox: 3,
  platform: 2,
  errors: 1,
};

const maxLines = 500;

/**
 * Words of the domain that the platform may not know. Left out are those that mean something else there: sessions are
 * HTTP/2's, events are the log's, workers and agents are also roles, help is a setting's text, a relay passes bytes on.
 */
const domainWord = /^(?:jobs?|tasks?|subtasks?|milestones?|reviews?|gates?|learnings?|harness(?:es)?|repos?)$/;

/** Says what each word of errors.ts is on the wire, and has to list them for it. */
const listsErrorWords = 'src/platform/rpc/error-codes.ts';

/** Upper case, as all SQL here is written, so that prose and error messages are not taken for it. */
const sql =
  /\bSELECT\s+(?:[*\d]|\w+\s*\(|[\s\S]*?\bFROM\b)|\bINSERT\s+INTO\s|\bUPDATE\s+[\w"]+[\s\S]*?\bSET\s|\bDELETE\s+FROM\s|\b(?:CREATE|ALTER|DROP|TRUNCATE)\s+(?:UNIQUE\s+)?(?:TABLE|INDEX|DATABASE|SCHEMA)\b/;

interface File {
  readonly name: string;
  readonly source: Source;
  /** What it imports: paths from the root for files, package names for packages. */
  readonly imports: readonly string[];
}

/** Checks the import rule of docs/architecture.md on the tree at `root`. */
export function checkArchitecture(root: string): Violation[] {
  const files = ['src', 'test'].flatMap((folder) => filesBelow(root, folder)).map((name) => readFile(root, name));
  const inSrc = files.filter(({ name }) => name.startsWith('src/'));
  return [...files.flatMap(checkAnywhere), ...inSrc.flatMap(checkInSrc), ...circles(inSrc)];
}

function filesBelow(root: string, folder: string): string[] {
  return readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[cm]?tsx?$/.test(entry.name))
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
    .sort();
}

function readFile(root: string, name: string): File {
  const source = readSource(readFileSync(path.join(root, name), 'utf8'));
  const imports = source.imports.map((target) =>
    target.startsWith('.') ? path.posix.join(path.posix.dirname(name), target).replace(/\.js$/, '.ts') : target,
  );
  return { name, source, imports };
}

function checkAnywhere({ name, source, imports }: File): Violation[] {
  const found: Violation[] = [];
  if (source.lines > maxLines) found.push({ file: name, rule: 'length', what: `over ${maxLines} lines` });
  if (name.startsWith('test/acceptance/')) {
    for (const target of imports) {
      if (target.startsWith('src/')) found.push({ file: name, rule: 'acceptance', what: target });
    }
  }
  return found;
}

function checkInSrc({ name, source, imports }: File): Violation[] {
  const found: Violation[] = [];
  const report = (rule: Violation['rule'], what: string): void => void found.push({ file: name, rule, what });
  const room = roomOf(name);
  if (floors[room] === undefined) report('imports', `src/${room} is no room that the rule knows`);

  for (const target of imports) {
    if (target.startsWith('src/')) {
      const other = roomOf(target);
      const floor = floors[room] ?? 0;
      if (other !== room && (floors[other] ?? floor) >= floor) report('imports', target);
      const sibling = moduleOf(target);
      if (sibling !== undefined && moduleOf(name) !== undefined && sibling !== moduleOf(name)) {
        if (target !== `src/modules/${sibling}/index.ts`) report('siblings', target);
      }
    } else if (target.startsWith('gen/')) {
      if (!mayUseGen(name)) report('gen', target);
    } else if (/^\.\.|^(?:test|bench|dist)\//.test(target)) {
      report('imports', target);
    } else if (/^(?:fastify|@fastify\/.*|@connectrpc\/connect-fastify)$/.test(target)) {
      if (!name.startsWith('src/platform/http/')) report('fastify', target);
    }
  }

  if (!maySpeakSql(name)) {
    for (const text of source.strings) if (sql.test(text)) report('sql', text.trim().slice(0, 60));
  }
  if (room === 'platform' && name !== listsErrorWords) {
    for (const word of new Set(wordsOf(source.code))) if (domainWord.test(word)) report('domain word', word);
  }
  return found;
}

/** `src/app.ts`: app; `src/modules/x/y.ts`: modules. */
function roomOf(name: string): string {
  return name.split('/')[1]?.replace(/\.ts$/, '') ?? '';
}

function moduleOf(name: string): string | undefined {
  return /^src\/modules\/([^/]+)\//.exec(name)?.[1];
}

function mayUseGen(name: string): boolean {
  return (
    /^src\/modules\/[^/]+\/rpc\.ts$/.test(name) ||
    /^src\/(?:platform\/(?:http|auth|rpc)|client|cli|console)\//.test(name)
  );
}

function maySpeakSql(name: string): boolean {
  return /^src\/(?:migrations|platform\/db)\//.test(name) || /^src\/modules\/[^/]+\/store[^/]*\.ts$/.test(name);
}

/** The words of all names and strings: `maxJobsPerClaim` has four. */
function wordsOf(code: string): string[] {
  return code
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z]+/);
}

/** Modules that reach each other in a round. */
function circles(files: readonly File[]): Violation[] {
  const edges = new Map<string, Map<string, string>>();
  for (const { name, imports } of files) {
    const from = moduleOf(name);
    for (const target of imports) {
      const to = moduleOf(target);
      if (from === undefined || to === undefined || from === to) continue;
      const targets = edges.get(from) ?? new Map<string, string>();
      edges.set(from, targets.set(to, name));
    }
  }
  const reaches = (from: string, goal: string, seen: Set<string>): boolean =>
    [...(edges.get(from)?.keys() ?? [])].some(
      (next) => next === goal || (!seen.has(next) && reaches(next, goal, seen.add(next))),
    );
  return [...edges].flatMap(([from, targets]) =>
    [...targets]
      .filter(([to]) => reaches(to, from, new Set()))
      .map(([to, file]): Violation => ({ file, rule: 'circle', what: `${from} > ${to} > ${from}` })),
  );
}
