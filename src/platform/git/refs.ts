import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from './file-errors.js';
import { isObjectId } from './ref-name.js';

/** What a reference such as `refs/heads/main` points to; undefined when there is none. */
export async function readRef(gitDir: string, name: string): Promise<string | undefined> {
  try {
    const text = (await readFile(path.join(gitDir, name), 'utf8')).trim();
    if (isObjectId(text)) return text;
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR' && code !== 'ENAMETOOLONG') throw error;
  }
  return (await readPackedRefs(gitDir)).get(name);
}

/** The names of all branches. */
export async function listBranches(gitDir: string): Promise<readonly string[]> {
  const folder = path.join(gitDir, 'refs', 'heads');
  const loose = (await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.lock'))
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
  const packed = [...(await readPackedRefs(gitDir)).keys()]
    .filter((name) => name.startsWith('refs/heads/'))
    .map((name) => name.slice('refs/heads/'.length));
  return [...new Set([...loose, ...packed])].sort();
}

async function readPackedRefs(gitDir: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(path.join(gitDir, 'packed-refs'), 'utf8').catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return '';
    throw error;
  });
  const refs = new Map<string, string>();
  for (const line of text.split('\n')) {
    const at = line.indexOf(' ');
    // Lines that begin with ^ tell what a tag in the line above stands for.
    if (isObjectId(line.slice(0, at))) refs.set(line.slice(at + 1), line.slice(0, at));
  }
  return refs;
}
