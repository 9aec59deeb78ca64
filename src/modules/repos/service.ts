import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AppError, invalidField } from '../../errors.js';
import { idCursor } from '../../platform/cursor.js';
import type { Queries, Tx } from '../../platform/db/db.js';
import { type Git, inspectRepository, listBranches, type Repository } from '../../platform/git/index.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import { isId, type NewId } from '../../platform/ids.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import { appendEvents, type Origin } from '../events/index.js';
import {
  type Branches,
  checkIsThere,
  checkPath,
  defaultBranchOf,
  nameOf,
  patchOf,
  type RegisterInput,
  type Repo,
  unknownRepo,
  type UpdateInput,
} from './repos.js';
import { findRepo, findRepoByPath, holdRepo, insertRepo, listRepos, lockForChange, updateRepo } from './store.js';
import { createUnregister, type UnregisterDeps } from './unregister.js';

export interface ReposDeps extends UnregisterDeps {
  readonly newId: NewId;
}

const paging = createPaging(idCursor('repo'), (repo: Repo) => repo.id);

/** The use cases of repositories. Everything rejects with AppErrors that name the field at fault. */
export interface Repos {
  register(input: RegisterInput, origin: Origin, keep?: Keep<Repo>): Promise<Repo>;
  /** Rejects with `not_found`. */
  get(id: string): Promise<Repo>;
  byPath(path: string): Promise<Repo | undefined>;
  list(input: PageInput): Promise<{ readonly repos: readonly Repo[]; readonly nextCursor: string | undefined }>;
  /** Answers it as it is then. Rejects with `not_found`, and with `conflict` when the repository cannot be used any more. */
  update(input: UpdateInput, origin: Origin, keep?: Keep<Repo>): Promise<Repo>;
  /** Rejects with `conflict` while it has tasks, or while what deleted ones have left in it is not cleared away. */
  unregister(id: string, origin: Origin, keep?: Keep<void>): Promise<void>;
}

/** For other modules: reads a repository; undefined for an id that is unknown or malformed. */
export async function getRepo(on: Queries, id: string): Promise<Repo | undefined> {
  return isId('repo', id) ? findRepo(on, id) : undefined;
}

/**
 * For other modules: the same, and keeps it registered until the transaction ends. Whoever adds a row that refers to it needs no
 * more: the foreign key keeps it from then on.
 */
export async function lockRepo(tx: Tx, id: string): Promise<Repo | undefined> {
  return isId('repo', id) ? holdRepo(tx, id) : undefined;
}

export function createRepos(deps: ReposDeps): Repos {
  const { db, clock, newId, log, git, appended } = deps;
  const unregister = createUnregister(deps);

  async function get(id: string): Promise<Repo> {
    const repo = await getRepo(db, id);
    if (repo === undefined) throw unknownRepo(id);
    return repo;
  }

  /** Has tasks begin at a branch from now on; nothing is changed when they do already. */
  async function moveTo(tx: Tx, before: Repo, defaultBranch: string | undefined, origin: Origin): Promise<Repo> {
    if (defaultBranch === undefined || defaultBranch === before.defaultBranch) return before;
    const now = clock.now();
    const repo: Repo = { ...before, defaultBranch, updatedAt: now };
    await updateRepo(tx, repo);
    const payload = { default_branch: defaultBranch, updated_at: now };
    await appendEvents(tx, origin, now, [{ type: 'RepoUpdated', repoId: repo.id, payload }]);
    tx.afterCommit(() => {
      log.info('repo_updated', { corr_id: origin.correlationId, repo_id: repo.id });
      appended('RepoUpdated', 1);
    });
    return repo;
  }

  return {
    async register(input, origin, keep) {
      const now = clock.now();
      const repo: Repo = { ...(await newRepo(git, input)), id: newId('repo'), createdAt: now, updatedAt: now };
      await db.transaction(async (tx) => {
        await addRepo(tx, repo);
        const { id, path, name, vcsType, defaultBranch } = repo;
        const times = { created_at: now, updated_at: now };
        const payload = { path, name, vcs_type: vcsType, default_branch: defaultBranch, ...times };
        await appendEvents(tx, origin, now, [{ type: 'RepoRegistered', repoId: id, payload }]);
        await keep?.(tx, repo);
      });
      log.info('repo_registered', { corr_id: origin.correlationId, repo_id: repo.id });
      appended('RepoRegistered', 1);
      return repo;
    },
    get,
    async byPath(path) {
      checkPath(path);
      // A repository that has been moved away is still known by its path.
      return findRepoByPath(db, await realpath(path).catch(() => resolve(path)));
    },
    async list(input) {
      const page = paging(input);
      const { rows: repos, nextCursor } = page.of(await listRepos(db, page.count, page.place));
      return { repos, nextCursor };
    },
    async update(input, origin, keep) {
      const { defaultBranch } = patchOf(input);
      const before = await get(input.id);
      if (defaultBranch !== undefined) checkIsThere(defaultBranch, await branchesNow(git, before));
      return db.transaction(async (tx) => {
        const found = await lockForChange(tx, input.id);
        if (found === undefined) throw unknownRepo(input.id);
        const repo = await moveTo(tx, found, defaultBranch, origin);
        await keep?.(tx, repo);
        return repo;
      });
    },
    async unregister(id, origin, keep) {
      await unregister(await get(id), origin, keep);
    },
  };
}

/** What is at the path, in our words. Throws `invalid_request` naming the field. */
async function newRepo(git: Git, input: RegisterInput): Promise<Omit<Repo, 'id' | 'createdAt' | 'updatedAt'>> {
  checkPath(input.path);
  const found = await inspectRepository(git, input.path);
  if (found.kind === 'refused') throw invalidField('path', found.why);
  const { root } = found.repository;
  const defaultBranch = defaultBranchOf(input, await branchesOf(found.repository));
  return { path: root, name: nameOf(input, root), vcsType: 'Git', defaultBranch };
}

async function branchesOf({ headBranch, gitDir }: Repository): Promise<Branches> {
  return { head: headBranch, all: await listBranches(gitDir) };
}

/** Those of a repository that is registered. Throws `conflict` when it cannot be used any more. */
async function branchesNow(git: Git, { path }: Repo): Promise<Branches> {
  const found = await inspectRepository(git, path);
  if (found.kind === 'repository') return branchesOf(found.repository);
  throw new AppError('conflict', `The repository ${path} ${found.why}.`, { details: { path } });
}

/** Throws `conflict` with the id under which the path is registered already. */
async function addRepo(tx: Tx, repo: Repo): Promise<void> {
  while (!(await insertRepo(tx, repo))) {
    const known = await findRepoByPath(tx, repo.path);
    // Else it was removed in between, and can be added now.
    if (known === undefined) continue;
    throw new AppError('conflict', `${repo.path} is registered already, as ${known.id}.`, {
      details: { field: 'path', id: known.id },
    });
  }
}
