import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, isMissing } from './file-errors.js';
import { isObjectId } from './ref-name.js';

/** What a reference such as `refs/heads/main` points to; undefined when there is none, or it is a symbolic one. */
export async function readRef(gitDir: string, name: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path.join(gitDir, name), 'utf8')).trim();
    if (isObjectId(text)) return text;
  } catch (error) {
    const code = codeOf(error);
    if (!isMissing(error) && code !== 'EISDIR' && code !== 'ENAMETOOLONG') throw error;
  }
  const packed = await readPackedRefs(gitDir);
  const at = packed.indexOf(` ${name}\n`);
  const id = at < 0 ? '' : packed.subarray(packed.lastIndexOf('\n', at) + 1, at).toString();
  return isObjectId(id) ? id : undefined;
}

/** The names of all branches. */
export async function listBranches(gitDir: string): Promise<readonly string[]> {
  const folder = path.join(gitDir, 'refs', 'heads');
  const loose = (await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.lock'))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
  const packed = (await readPackedRefs(gitDir))
    .toString()
    .split('\n')
    .flatMap((line) => /^[0-9a-f]+ refs\/heads\/(.+)$/.exec(line)?.[1] ?? []);
  return [...new Set([...loose, ...packed])].sort();
}

/** The names that git has for linked work trees. */
export async function listWorkTrees(gitDir: string): Promise<readonly string[]> {
  return readdir(path.join(gitDir, 'worktrees')).catch(() => []);
}

/** A line for each: an object's id, a space and a name. */
async function readPackedRefs(gitDir: string): Promise<Buffer> {
  return readFile(path.join(gitDir, 'packed-refs')).catch((error: unknown) => {
    if (isMissing(error)) return Buffer.alloc(0);
    throw error;
  });
}
