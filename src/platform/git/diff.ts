import { type Diff, parseDiff } from './diff-parse.js';
import { stageAside } from './stage-aside.js';
import type { View, ViewRun } from './view.js';
import { requireLinked, type WorkTree } from './work-tree.js';

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
  await requireLinked(tree);
  return stageAside(tree, signal, async ({ env }, made) =>
    diff(tree.view, { args: ['diff-tree', ...options, '--end-of-options', base, made.tree], env, signal }),
  );
}

async function diff(view: View, run: ViewRun): Promise<Diff> {
  const limits = { maxOutputBytes: maxRecordBytes + maxPatchBytes, beyond: 'truncate' as const };
  const { stdout, truncated } = await view.run({ ...run, ...limits });
  return parseDiff(stdout, truncated, maxPatchBytes);
}
