import { compareWorkTree, readFileOf, readRef, type View, type WorkTree } from '../../platform/git/index.js';
import { defaultHead } from './branches.js';
import type { Submitted, TaskRef } from './vcs.js';

export interface CompareInput extends TaskRef, Submitted {
  readonly signal?: AbortSignal | undefined;
}

/** What has become of what was submitted. */
export interface Comparison {
  /** Where the task's branch is; undefined when there is none. */
  readonly branchHead: string | undefined;
  /** The first 20 paths that are not as they were submitted. */
  readonly changed: readonly string[];
  /** Of all of them; 0 when the work tree is what was submitted. */
  readonly changedCount: number;
}

export interface ReadDefaultInput extends Pick<TaskRef, 'repo'> {
  /** From the root of the repository. */
  readonly path: string;
  readonly maxBytes: number;
  /** The commit of which the caller has it already: where the branch is still there, it is not read, which spares a process of git. */
  readonly known?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A file as it is on the default branch. */
export interface DefaultFile {
  /** Where the branch is. */
  readonly commit: string;
  /** Undefined when there is no such file, and when it is known already. */
  readonly text: string | undefined;
}

/** How many changed paths are named. */
const maxNamed = 20;

export async function compareWork(tree: WorkTree, { headCommit, headTree, signal }: CompareInput): Promise<Comparison> {
  const changed = await compareWorkTree(tree, { commit: headCommit, tree: headTree }, signal);
  const branchHead = await readRef(tree.view.repository.gitDir, tree.branch);
  return { branchHead, changed: changed.slice(0, maxNamed), changedCount: changed.length };
}

export async function readDefault(view: View, input: ReadDefaultInput): Promise<DefaultFile | undefined> {
  const { repo, path: file, maxBytes, known, signal } = input;
  const commit = await defaultHead(view, repo);
  if (commit === undefined) return undefined;
  if (commit === known) return { commit, text: undefined };
  return { commit, text: await readFileOf(view, { commit, file, maxBytes, signal }) };
}
