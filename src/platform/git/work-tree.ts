import { lstat, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../../errors.js';
import { isMissing, isTaken, sayNoRoom } from './file-errors.js';
import { copyIndex } from './index-file.js';
import { letGo, passingName } from './leftovers.js';
import { readPlainFile } from './plain-file.js';
import { removeTree, sweepLeftovers } from './remove-tree.js';
import { GitFailure } from './run.js';
import type { View } from './view.js';

/** A linked work tree: a folder with files, and what git keeps of it within the repository. */
export interface WorkTree {
  readonly view: View;
  /** Git's name for it, which is unique in the repository. */
  readonly name: string;
  /** The folder. */
  readonly path: string;
  /** The full name of the branch that is checked out, such as `refs/heads/main`. */
  readonly branch: string;
}

/** Where git keeps what it knows of the work tree. */
export function gitDirOf({ view, name }: WorkTree): string {
  return path.join(view.repository.gitDir, 'worktrees', name);
}

/**
 * Makes a work tree of a branch that there is, or what is missing of one. Both parts are built under names that nobody looks at, and
 * then put in their place in one step each: whoever comes second finds a whole one and throws the own away. So any number of
 * processes may make the same one at a time, and any of them may die: what they leave is swept up by the next. The files come
 * first, since git gives up a work tree whose files it does not find.
 */
export async function makeWorkTree(tree: WorkTree, signal?: AbortSignal): Promise<void> {
  await sweep(tree);
  for (let tries = 1; ; tries += 1) {
    const found = await look(tree);
    if (found.files && found.known) return;
    if (tries > maxTries) throw new Error(`the work tree ${tree.path} does not stay made`);
    await build(tree, found, tries < maxTries, signal);
  }
}

/** Once more for each process that might have taken something away in between. */
const maxTries = 5;

interface Found {
  readonly files: boolean;
  readonly known: boolean;
}

/** Throws `conflict` when the place, or the name, is somebody else's. */
async function look(tree: WorkTree): Promise<Found> {
  // In this order: what git knows is put in place after the files, so that files that are missing after it was seen are lost, and
  // not about to come.
  const [place, head] = await Promise.all(['gitdir', 'HEAD'].map((name) => readText(path.join(gitDirOf(tree), name))));
  if (place !== undefined && place !== placeOf(tree)) {
    throw taken(tree.name, `is a work tree of the repository already, at ${path.dirname(place.trim())}`);
  }
  const folder = await lstat(tree.path).catch(ignoreMissing);
  if (folder !== undefined && !folder.isDirectory()) throw taken(tree.path, 'is no folder');
  const isLinked = (await readText(path.join(tree.path, '.git'))) === linkOf(tree);
  if (folder !== undefined && !isLinked) await relink(tree);
  return { files: folder !== undefined, known: place !== undefined && head !== undefined };
}

function taken(what: string, why: string): AppError {
  return new AppError('conflict', `${what} ${why}.`);
}

function linkOf(tree: WorkTree): string {
  return `gitdir: ${gitDirOf(tree)}\n`;
}

function placeOf({ path: folder }: WorkTree): string {
  return `${path.join(folder, '.git')}\n`;
}

/** The files are there, but no longer say whose they are. */
async function relink(tree: WorkTree): Promise<void> {
  const link = path.join(tree.path, '.git');
  const info = await lstat(link).catch(ignoreMissing);
  if (info?.isDirectory() === true) throw taken(link, 'is a repository of its own');
  const fresh = passingName(link, 'to');
  await writeFile(fresh, linkOf(tree));
  await rename(fresh, link);
  letGo(fresh);
}

/** Builds what is missing. Where the files are, but git does not know them, their content is left alone. */
async function build(tree: WorkTree, found: Found, again: boolean, signal: AbortSignal | undefined): Promise<void> {
  const parts = {
    files: passingName(tree.path, 'to'),
    index: passingName(indexPlace(tree), 'to'),
    known: passingName(knownPlace(tree), 'to'),
  };
  try {
    await mkdir(path.dirname(tree.path), { recursive: true });
    if (found.files) await tree.view.run({ args: ['read-tree', tree.branch], indexFile: parts.index, signal });
    else await checkOut(tree, parts, signal);
    // A work tree that has lost its files is of no use to git.
    if (!found.files && found.known) await removeTree(gitDirOf(tree));
    if (!found.files) await putInPlace(parts.files, tree.path);
    await tellGit(tree, parts);
  } catch (error) {
    // Where somebody has swept the parts away, for whom this process does not seem to be alive.
    if (!again || !(await wereSwept(parts, found))) throw sayNoRoom(error);
  } finally {
    await Promise.all([removeTree(parts.files), removeTree(parts.known), rm(parts.index, { force: true })]);
    for (const part of Object.values(parts)) letGo(part);
  }
}

type Parts = Readonly<Record<'files' | 'index' | 'known', string>>;

async function checkOut({ view, branch, ...tree }: WorkTree, parts: Parts, signal?: AbortSignal): Promise<void> {
  const args = ['read-tree', '-m', '-u', branch];
  await mkdir(parts.files);
  const run = { args, workTree: parts.files, indexFile: parts.index, timeoutMs: checkOutMs, signal };
  await view.run(run).catch((error: unknown) => {
    throw whyNotCheckedOut(error, branch);
  });
  await writeFile(path.join(parts.files, '.git'), linkOf({ view, branch, ...tree }));
}

/** A commit may hold what git checks out nowhere, as a file named `.git`, or lack what it refers to. */
function whyNotCheckedOut(error: unknown, branch: string): unknown {
  if (!(error instanceof GitFailure) || error.exitCode !== 128) return error;
  const [reason = ''] = error.stderr.replace(/^(?:error|fatal): /, '').split('\n');
  return new AppError('conflict', `${branch} cannot be checked out: ${reason}.`, { cause: error });
}

/** A large repository on a slow disk. */
const checkOutMs = 600_000;

async function tellGit(tree: WorkTree, { index, known }: Parts): Promise<void> {
  await mkdir(known);
  await writeFile(path.join(known, 'HEAD'), `ref: ${tree.branch}\n`);
  await writeFile(path.join(known, 'commondir'), '../..\n');
  await writeFile(path.join(known, 'gitdir'), placeOf(tree));
  // The data directory and the repository may be on different file systems.
  await copyIndex(index, path.join(known, 'index'));
  await mkdir(path.dirname(gitDirOf(tree)), { recursive: true });
  await putInPlace(known, gitDirOf(tree));
}

async function wereSwept(parts: Parts, found: Found): Promise<boolean> {
  const [files, index, known] = await Promise.all(
    [parts.files, parts.index, parts.known].map((part) => lstat(part).catch(ignoreMissing)),
  );
  return (!found.files && files === undefined) || (index === undefined && known === undefined);
}

/** Puts a folder that is whole in its place, unless another one is there already. */
async function putInPlace(made: string, place: string): Promise<void> {
  try {
    await rename(made, place);
  } catch (error) {
    if (!isTaken(error)) throw error;
  }
}

/** Beside the files; nothing is ever put there. */
function indexPlace({ path: folder }: WorkTree): string {
  return `${folder}.index`;
}

/** Beside the place where git looks for work trees, on the same file system. */
function knownPlace({ view, name }: WorkTree): string {
  return path.join(view.repository.gitDir, `muster-${name}`);
}

/** Removes the work tree, folder and all, and what processes have left that died making or removing it. */
export async function removeWorkTree(tree: WorkTree): Promise<void> {
  await removeTree(tree.path);
  const place = await readText(path.join(gitDirOf(tree), 'gitdir'));
  if (place === undefined || place === placeOf(tree)) await removeTree(gitDirOf(tree));
  await sweep(tree);
}

async function sweep(tree: WorkTree): Promise<void> {
  await Promise.all([tree.path, indexPlace(tree), knownPlace(tree), gitDirOf(tree)].map(sweepLeftovers));
}

async function readText(file: string): Promise<string | undefined> {
  return (await readPlainFile(file))?.toString();
}

function ignoreMissing(error: unknown): undefined {
  if (isMissing(error)) return undefined;
  throw error;
}
