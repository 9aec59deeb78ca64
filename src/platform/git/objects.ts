import { createHash } from 'node:crypto';
import path from 'node:path';
import { promisify } from 'node:util';
import { inflate } from 'node:zlib';
import { readPlainFile } from './plain-file.js';

const maxBytes = 16 * 1024 * 1024;

/**
 * The tree of a commit that is a file of its own, as each is that has just been made; undefined when it is none, or not what its
 * name says.
 */
export async function readLooseTree(gitDir: string, commit: string): Promise<string | undefined> {
  const file = await readPlainFile(path.join(gitDir, 'objects', commit.slice(0, 2), commit.slice(2)));
  const object = file && (await promisify(inflate)(file, { maxOutputLength: maxBytes }).catch(() => undefined));
  if (object === undefined) return undefined;
  const name = createHash(commit.length === 40 ? 'sha1' : 'sha256')
    .update(object)
    .digest('hex');
  const [, tree] = /^commit \d+\0tree ([0-9a-f]+)\n/.exec(object.toString('latin1', 0, 200)) ?? [];
  return name === commit ? tree : undefined;
}
