import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { readPlainFile } from './plain-file.js';
import { isObjectId } from './ref-name.js';

/** What a reference such as `refs/heads/main` points to; undefined when there is none, or it is a symbolic one. */
export async function readRef(gitDir: string, name: string): Promise<string | undefined> {
  const loose = (await readPlainFile(path.join(gitDir, name)))?.toString().trim();
  if (loose !== undefined && isObjectId(loose)) return loose;
  const packed = await readPackedRefs(gitDir);
  const at = packed.indexOf(` ${name}\n`);
  const id = at < 0 ? '' : packed.subarray(packed.lastIndexOf('\n', at) + 1, at).toString();
  return isObjectId(id) ? id : undefined;
}

/** The branch that is checked out, which need not have a commit yet; undefined when HEAD is detached. */
export async function readHeadBranch(gitDir: string): Promise<string | undefined> {
  const head = (await readPlainFile(path.join(gitDir, 'HEAD')))?.toString() ?? '';
  return /^ref: refs\/heads\/(.+)\n?$/.exec(head)?.[1];
}

/** The names of all branches. */
export async function listBranches(gitDir: string): Promise<readonly string[]> {
  const under = 'refs/heads/';
  const [loose, packed] = await Promise.all([listLoose(gitDir, under), readPackedRefs(gitDir)]);
  const names = [...loose, ...refsOf(packed).keys()].filter((name) => name.startsWith(under));
  return [...new Set(names.map((name) => name.slice(under.length)))].sort();
}

/** All references but for symbolic ones, and what they point to. */
export async function listRefs(gitDir: string): Promise<ReadonlyMap<string, string>> {
  const refs = new Map(refsOf(await readPackedRefs(gitDir)));
  for (const name of await listLoose(gitDir, 'refs/')) {
    const id = await readRef(gitDir, name);
    if (id !== undefined) refs.set(name, id);
  }
  return refs;
}

async function listLoose(gitDir: string, under: string): Promise<readonly string[]> {
  const folder = path.join(gitDir, under);
  return (await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.lock'))
    .map((entry) => path.relative(gitDir, path.join(entry.parentPath, entry.name)));
}

function refsOf(packed: Buffer): ReadonlyMap<string, string> {
  const lines = packed.toString().split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [, id, name] = /^([0-9a-f]+) (.+)$/.exec(line) ?? [];
      return id === undefined || name === undefined ? [] : [[name, id] as const];
    }),
  );
}

/** A line for each: an object's id, a space and a name. */
async function readPackedRefs(gitDir: string): Promise<Buffer> {
  return (await readPlainFile(path.join(gitDir, 'packed-refs'))) ?? Buffer.alloc(0);
}
