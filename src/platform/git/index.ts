export { type Git, createGit, GitFailure, type GitOptions, type GitOutput, type GitRun } from './run.js';
export { inspectRepository, type Inspection, type Repository } from './inspect.js';
export { isObjectId, isRefName } from './ref-name.js';
export { listBranches, listWorkTrees, readRef } from './refs.js';
export { commitAll, type CommitInput, type Person } from './commit.js';
export { diffCommits, diffWorkTree } from './diff.js';
export type { Diff, DiffFile, DiffLine, FileStatus, Hunk } from './diff-parse.js';
export { createViews, type View, type Views } from './view.js';
export { makeWorkTree, removeWorkTree, type WorkTree } from './work-tree.js';
