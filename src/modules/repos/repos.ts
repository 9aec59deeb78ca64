import path from 'node:path';
import { AppError, invalidField } from '../../errors.js';
import { isRefName } from '../../platform/git/index.js';
import { checkText } from '../../platform/text.js';

export interface Repo {
  readonly id: string;
  /** Of the root of its work tree, symbolic links resolved. */
  readonly path: string;
  readonly name: string;
  readonly vcsType: 'Git';
  /** The branch that tasks begin at; need not have a commit yet. */
  readonly defaultBranch: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

type Optional<T> = T | null | undefined;

export interface RegisterInput {
  readonly path: string;
  readonly name?: Optional<string>;
  readonly defaultBranch?: Optional<string>;
}

export interface UpdateInput {
  readonly id: string;
  readonly defaultBranch?: Optional<string>;
}

/** What changes: only what is there. */
export interface Patch {
  readonly defaultBranch?: string;
}

const maxName = 100;
// oxlint-disable-next-line no-control-regex -- those are what is looked for
const control = /[\u0000-\u001f\u007f-\u009f]/g;

/** Throws `invalid_request` naming the path when it cannot be one at all. */
export function checkPath(text: string): void {
  checkText('path', text);
  if (text === '') throw invalidField('path', 'is required');
  if (!path.isAbsolute(text)) throw invalidField('path', 'must be an absolute path');
}

/** The name that is asked for, or else the last part of the path. Throws `invalid_request` naming the field. */
export function nameOf({ name }: RegisterInput, root: string): string {
  if (name === undefined || name === null) {
    const own = path.basename(root).replaceAll(control, '?').trim();
    return own === '' ? root : own.slice(0, maxName).replace(/\p{Surrogate}$/u, '');
  }
  checkText('name', name);
  const trimmed = name.trim();
  if (trimmed.length === 0 || trimmed.length > maxName)
    throw invalidField('name', `must have 1 to ${maxName} characters`);
  if (trimmed.search(control) >= 0) throw invalidField('name', 'must have no control characters');
  return trimmed;
}

/** What a repository says of its branches. */
export interface Branches {
  /** Undefined when HEAD is detached. */
  readonly head: string | undefined;
  /** Those that have a commit. */
  readonly all: readonly string[];
}

/** Which branch tasks begin at. Throws `invalid_request` naming the field. */
export function defaultBranchOf({ defaultBranch }: RegisterInput, branches: Branches): string {
  if (defaultBranch !== undefined && defaultBranch !== null) {
    return checkIsThere(checkBranchName(defaultBranch), branches);
  }
  const { head, all } = branches;
  if (head !== undefined) return head;
  const likely = ['main', 'master'].find((name) => all.includes(name)) ?? (all.length === 1 ? all[0] : undefined);
  if (likely !== undefined) return likely;
  throw invalidField('default_branch', 'is required, since the HEAD of the repository is detached');
}

/** Throws `invalid_request` naming the field; a repository cannot do without a default branch. */
export function patchOf({ defaultBranch }: UpdateInput): Patch {
  if (defaultBranch === undefined) return {};
  if (defaultBranch === null) throw invalidField('default_branch', 'cannot be cleared');
  return { defaultBranch: checkBranchName(defaultBranch) };
}

function checkBranchName(name: string): string {
  if (!isRefName(name)) throw invalidField('default_branch', 'is no name of a branch');
  return name;
}

/** A branch that has a commit, or that the first one will be on. Throws `invalid_request` naming the field. */
export function checkIsThere(branch: string, { head, all }: Branches): string {
  if (branch === head || all.includes(branch)) return branch;
  throw invalidField('default_branch', `there is no branch '${branch.slice(0, 200)}' in the repository`);
}

export function unknownRepo(id: string): AppError {
  return new AppError('not_found', `There is no repository ${id}.`);
}
