import { lstat, mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { AppError } from '../../errors.js';
import { ignoreMissing, isTaken, sayFileError } from '../files/file-errors.js';
import { letGo, passingName } from '../files/leftovers.js';
import { readPlainFile } from './plain-file.js';
import { removeTree, sweepLeftovers } from '../files/remove-tree.js';
import { isObjectId } from './ref-name.js';
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

export interface MakeOptions {
  /** Resolves when there is the branch, and rejects when nothing is to be made of it; by default there is. */
  readonly branched?: Promise<unknown> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a work tree of a branch, or what is missing of one. Both parts are built under names that nobody looks at, and
 * then put in their place in one step each: whoever comes second finds a whole one and throws the own away. So any number of
 * processes may make the same one at a time, and any of them may die: what they leave is swept up by the next. The files come
 * first, since git gives up a work tree whose files it does not find.
 */
export async function makeWorkTree(tree: WorkTree, options: MakeOptions = {}): Promise<void> {
  await sweep(tree);
  for (let tries = 1; ; tries += 1) {
    const found = await look(tree);
    if (found.files && found.known) return;
    if (tries > maxTries) throw new Error(`the work tree ${tree.path} does not stay made`);
    if (await build(tree, found, tries < maxTries, options)) return;
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
  const [folder, link] = await Promise.all([
    lstat(tree.path).catch(ignoreMissing),
    readText(path.join(tree.path, '.git')),
  ]);
  if (folder !== undefined && !folder.isDirectory()) throw taken(tree.path, 'is no folder');
  if (folder !== undefined && link !== linkOf(tree)) await relink(tree);
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

/**
 * Builds what is missing. Where the files are, but git does not know them, their content is left alone. Answers whether all of it is
 * there now; nobody knows where somebody else has put something in its place, too.
 */
async function build(
  tree: WorkTree,
  found: Found,
  again: boolean,
  { branched, signal }: MakeOptions,
): Promise<boolean> {
  const parts = { files: passingName(tree.path, 'to'), known: passingName(knownPlace(tree), 'to') };
  let isDone = false;
  try {
    await Promise.all([tree.path, gitDirOf(tree)].map((place) => mkdir(path.dirname(place), { recursive: true })));
    await Promise.all([makeKnown(tree, parts.known), ...(found.files ? [] : [makeFolder(tree, parts.files)])]);
    await branched;
    const indexFile = path.join(parts.known, 'index');
    if (found.files) await tree.view.run({ args: ['read-tree', tree.branch], indexFile, signal });
    else await checkOut(tree, parts.files, indexFile, signal);
    // A work tree that has lost its files is of no use to git.
    if (!found.files && found.known) await removeTree(gitDirOf(tree));
    const areOurs = found.files || (await putInPlace(parts.files, tree.path));
    isDone = (await putInPlace(parts.known, gitDirOf(tree))) && areOurs;
    return isDone;
  } catch (error) {
    // Where somebody has swept the parts away, for whom this process does not seem to be alive.
    if (!again || !(await wereSwept(parts, found))) throw sayFileError(error);
    return false;
  } finally {
    if (!isDone) await Promise.all([removeTree(parts.files), removeTree(parts.known)]);
    for (const part of Object.values(parts)) letGo(part);
  }
}

type Parts = Readonly<Record<'files' | 'known', string>>;

/** What git knows of a work tree, but for its index. */
async function makeKnown(tree: WorkTree, known: string): Promise<void> {
  await mkdir(known);
  const texts = { HEAD: `ref: ${tree.branch}\n`, commondir: '../..\n', gitdir: placeOf(tree) };
  await Promise.all(Object.entries(texts).map(([name, text]) => writeFile(path.join(known, name), text)));
}

/** The folder, as yet without the files that are checked out. */
async function makeFolder(tree: WorkTree, files: string): Promise<void> {
  await mkdir(files);
  await writeFile(path.join(files, '.git'), linkOf(tree));
}

async function checkOut(tree: WorkTree, files: string, indexFile: string, signal?: AbortSignal): Promise<void> {
  const { view, branch } = tree;
  const run = { args: ['read-tree', '-m', '-u', branch], workTree: files, indexFile, timeoutMs: checkOutMs, signal };
  await view.run(run).catch((error: unknown) => {
    throw whyNotCheckedOut(error, branch, view.repository.settings.isPartial);
  });
}

/** A commit may hold what git checks out nowhere, as a file named `.git`, or lack what it refers to. */
function whyNotCheckedOut(error: unknown, branch: string, isPartial: boolean): unknown {
  if (!(error instanceof GitFailure) || error.exitCode !== 128) return error;
  const [reason = ''] = error.stderr.replace(/^(?:error|fatal): /, '').split('\n');
  const advice = isPartial
    ? ' The repository is a partial clone, and Muster fetches nothing: have the rest fetched (git fetch --refetch --no-filter), and try again.'
    : '';
  return new AppError('conflict', `${branch} cannot be checked out: ${reason}.${advice}`, { cause: error });
}

/** A large repository on a slow disk. */
const checkOutMs = 600_000;

async function wereSwept(parts: Parts, found: Found): Promise<boolean> {
  const [files, known] = await Promise.all([parts.files, parts.known].map((part) => lstat(part).catch(ignoreMissing)));
  return (!found.files && files === undefined) || known === undefined;
}

/** Puts a folder that is whole in its place, unless another one is there already. Answers whether it has. */
async function putInPlace(made: string, place: string): Promise<boolean> {
  try {
    await rename(made, place);
    return true;
  } catch (error) {
    if (!isTaken(error)) throw error;
    return false;
  }
}

/** Beside the place where git looks for work trees, on the same file system. */
function knownPlace({ view, name }: WorkTree): string {
  return path.join(view.repository.gitDir, `muster-${name}`);
}

/**
 * Throws `conflict` with `details.worktree` when the work tree is not there, or no longer one of the repository. Git itself would find its
 * way by what Muster tells it; whoever uses git in the folder would not.
 */
export async function requireLinked(tree: WorkTree): Promise<void> {
  await requireFolder(tree.path);
  const [link, head] = await Promise.all(
    [path.join(tree.path, '.git'), path.join(gitDirOf(tree), 'HEAD')].map(async (file) =>
      (await readPlainFile(file))?.toString().trim(),
    ),
  );
  const [, target] = /^gitdir: (.+)$/s.exec(link ?? '') ?? [];
  const isLinked = target !== undefined && path.resolve(tree.path, target) === gitDirOf(tree);
  const isKnown = head !== undefined && (head.startsWith('ref: ') || isObjectId(head));
  if (isLinked && isKnown) return;
  throw new AppError('conflict', `The folder ${tree.path} is no longer a work tree of ${tree.view.repository.root}.`, {
    details: { worktree: tree.path },
  });
}

/** The folder may have been replaced by a link that leads elsewhere. */
export async function requireFolder(folder: string): Promise<void> {
  const info = await lstat(folder).catch(() => undefined);
  if (info?.isDirectory() === true) return;
  throw new AppError('conflict', `The work tree ${folder} is not there.`, { details: { worktree: folder } });
}

/** Removes the work tree, folder and all, and what processes have left that died making or removing it. */
export async function removeWorkTree(tree: WorkTree): Promise<void> {
  await removeTree(tree.path);
  const place = await readText(path.join(gitDirOf(tree), 'gitdir'));
  if (place === undefined || place === placeOf(tree)) await removeTree(gitDirOf(tree));
  await sweep(tree);
}

async function sweep(tree: WorkTree): Promise<void> {
  await Promise.all([tree.path, knownPlace(tree), gitDirOf(tree)].map(sweepLeftovers));
}

async function readText(file: string): Promise<string | undefined> {
  return (await readPlainFile(file))?.toString();
}
