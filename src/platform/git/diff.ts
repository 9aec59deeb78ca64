import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { findChanges, stage, type Staging } from './changes.js';
import { requireFolder, startFrom } from './commit.js';
import { type Diff, parseDiff } from './diff-parse.js';
import { letGo, passingName } from './leftovers.js';
import { sweepLeftovers } from './remove-tree.js';
import type { View, ViewRun } from './view.js';
import { gitDirOf, type WorkTree } from './work-tree.js';

/** Of the patch. */
const maxPatchBytes = 5 * 1024 * 1024;
/** Of what stands before it: some 150 bytes a file. */
const maxRecordBytes = 32 * 1024 * 1024;

const options = ['-r', '-M', '--raw', '--numstat', '--patch', '-z', '--no-ext-diff', '--no-textconv', '--no-color'];

/**
 * The difference between two commits, or what stands for them. It is made without work tree and index, whose attributes could hide what
 * has changed.
 */
export async function diffCommits(view: View, base: string, head: string, signal?: AbortSignal): Promise<Diff> {
  return diff(view, { args: ['diff-tree', ...options, '--end-of-options', base, head], signal });
}

/**
 * The difference between a commit and what is in a work tree, committed or not; all but what is ignored. Nothing of the work tree or
 * the repository is changed by it: what is new is kept in a store of its own that is thrown away.
 */
export async function diffWorkTree(tree: WorkTree, base: string, signal?: AbortSignal): Promise<Diff> {
  await requireFolder(tree.path);
  const { view } = tree;
  const gitDir = gitDirOf(tree);
  const place = path.join(view.dir, 'diff');
  await sweepLeftovers(place);
  const folder = passingName(place, 'to');
  try {
    await mkdir(folder);
    const objects = path.join(folder, 'objects');
    await mkdir(objects);
    const env = {
      GIT_OBJECT_DIRECTORY: objects,
      GIT_ALTERNATE_OBJECT_DIRECTORIES: quoted(path.join(view.repository.gitDir, 'objects')),
    };
    const indexFile = path.join(folder, 'index');
    const staging: Staging = { view, gitDir, workTree: tree.path, indexFile, env, signal };
    await startFrom(path.join(gitDir, 'index'), staging);
    await stage(staging, await findChanges(staging));
    const { stdout } = await view.run({ args: ['write-tree'], gitDir, workTree: tree.path, indexFile, env, signal });
    return await diff(view, {
      args: ['diff-tree', ...options, '--end-of-options', base, stdout.toString().trim()],
      env,
      signal,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
    letGo(folder);
  }
}

async function diff(view: View, run: ViewRun): Promise<Diff> {
  const limits = { maxOutputBytes: maxRecordBytes + maxPatchBytes, beyond: 'truncate' as const };
  const { stdout, truncated } = await view.run({ ...run, ...limits });
  return parseDiff(stdout, truncated, maxPatchBytes);
}

/** As git reads one of a list of paths: colons would else end it, and a quote begin it. */
function quoted(text: string): string {
  const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' };
  return `"${text.replaceAll(/[\\"\n]/g, (letter) => escapes[letter] ?? letter)}"`;
}
