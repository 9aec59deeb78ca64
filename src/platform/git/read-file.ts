import path from 'node:path';
import { AppError } from '../../errors.js';
import type { View } from './view.js';

export interface FileToRead {
  readonly commit: string;
  /** From the root of its tree, such as `docs/a.md`. */
  readonly file: string;
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The text of a file in a commit; undefined when there is no such file. No attribute of the repository has a say in it.
 *
 * @throws AppError `conflict` naming file and commit for what is no plain file, or is behind something that is no folder, is larger than
 * `maxBytes`, or no UTF-8.
 */
export async function readFileOf(view: View, input: FileToRead): Promise<string | undefined> {
  const { commit, file, maxBytes, signal } = input;
  if (file !== path.posix.normalize(file) || !plainPath.test(file)) throw new Error(`no path of a file: ${file}`);
  // What something is stands in the folder that it is in. The file comes first, since it may be long.
  const folders = foldersOf(file);
  const stdin = [file, ...folders].map((name) => `${commit}:${name}\n`).join('');
  const limits = { maxOutputBytes: maxBytes + maxFolderBytes, beyond: 'truncate' as const };
  const { stdout, truncated } = await view.run({ args: ['cat-file', '--batch'], stdin, signal, ...limits });
  const refused = (why: string): AppError =>
    new AppError('conflict', `The file ${file} of commit ${commit} ${why}.`, { details: { path: file, commit } });

  const [blob, ...trees] = readObjects(stdout);
  if (blob !== undefined && blob.size > maxBytes) throw refused(`has ${blob.size} bytes; ${maxBytes} are allowed`);
  if (truncated) throw refused('is in a folder of too many files');
  if (trees[0]?.content === undefined) throw new Error(`the commit ${commit} has no tree`);
  for (const [index, name] of [...folders.slice(1), file].entries()) {
    const mode = modeOf(trees[index]?.content, path.posix.basename(name), commit.length / 2);
    if (mode === undefined) return undefined;
    const isFolder = mode === '40000';
    if (name !== file && !isFolder) throw refused(`is behind ${name}, which is ${kindOf(mode)}`);
    if (name === file && !mode.startsWith('100')) throw refused(`is ${kindOf(mode)}`);
  }
  if (blob?.content === undefined) throw new Error(`the file ${file} of the commit ${commit} is not in the repository`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(blob.content);
  } catch {
    throw refused('is no text in UTF-8');
  }
}

/** What cannot be taken for anything else where a line is a name. */
// oxlint-disable-next-line no-control-regex -- those are what is looked for
const plainPath = /^(?!\/|\.\.?(?:\/|$))[^\u0000-\u001f]+(?<!\/)$/;
const maxFolderBytes = 16 * 1024 * 1024;

/** The root first: for `a/b/c` it is ``, `a` and `a/b`. */
function foldersOf(file: string): string[] {
  const parts = file.split('/').slice(0, -1);
  return ['', ...parts.map((_, index) => parts.slice(0, index + 1).join('/'))];
}

interface FoundObject {
  readonly size: number;
  /** Undefined when there is no such object. */
  readonly content: Buffer | undefined;
}

/** Each is a line `<id> <type> <size>`, the content and a line break; or a line that says what is missing. */
function readObjects(output: Buffer): FoundObject[] {
  const found: FoundObject[] = [];
  for (let at = 0; at < output.length;) {
    const end = output.indexOf('\n', at);
    // It was cut off.
    if (end < 0) break;
    const [, bytes] = /^[0-9a-f]+ \w+ (\d+)$/.exec(output.toString('utf8', at, end)) ?? [];
    const size = Number(bytes ?? 0);
    found.push({ size, content: bytes === undefined ? undefined : output.subarray(end + 1, end + 1 + size) });
    at = end + 1 + (bytes === undefined ? 0 : size + 1);
  }
  return found;
}

/** How a folder has something: each entry is `<mode> <name>`, a NUL and the id. */
function modeOf(folder: Buffer | undefined, name: string, idBytes: number): string | undefined {
  if (folder === undefined) return undefined;
  for (let at = 0; at < folder.length;) {
    const [space, end] = [folder.indexOf(' ', at), folder.indexOf(0, at)];
    if (space < 0 || end < space) throw new Error('a folder that git takes for one is malformed');
    if (folder.toString('utf8', space + 1, end) === name) return folder.toString('latin1', at, space);
    at = end + 1 + idBytes;
  }
  return undefined;
}

function kindOf(mode: string): string {
  const kinds: Readonly<Record<string, string>> = {
    '40000': 'a folder',
    '120000': 'a symbolic link',
    '160000': 'a submodule',
  };
  return kinds[mode] ?? 'a plain file';
}
