import { AppError, type ErrorDetails } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import type { Db, Queries, Tx } from '../../platform/db/db.js';
import type { NewId } from '../../platform/ids.js';
import { type Appended, appendEvents, systemOrigin } from '../events/index.js';
import { getRepo } from '../repos/index.js';
import type { TaskRepo } from '../vcs/index.js';
import { gateChange, gateRemovedChange } from './changes.js';
import type { GatedTasks, GateVcs } from './gated.js';
import { type Gate, isSame } from './gates.js';
import { gatesFilePath, maxGatesFileBytes, parseGatesFile } from './gates-file.js';
import type { GateSpec } from './rules.js';
import { deleteGates, findFileCommit, insertGate, listGates, saveFileCommit, updateGate } from './store.js';

/** The gates of a repository's file, as they were at a commit of its default branch; none where they are known since that commit. */
export interface FileGates {
  readonly commit: string;
  readonly specs: readonly GateSpec[];
  /** What was applied when the file was read: what others have applied since is newer. */
  readonly since: string | undefined;
}

export interface GateFilesDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly newId: NewId;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
  readonly vcs: Pick<GateVcs, 'readDefault'>;
  readonly tasks: Pick<GatedTasks, 'lock'>;
}

/** The gates that repositories bring along. What an agent can edit is never read: only what the default branch has. */
export interface GateFiles {
  /** The commit of which the gates of a repository are. */
  commitOf(on: Queries, repoId: string): Promise<string | undefined>;
  /**
   * What the file says when the gates are of the commit `since`. Rejects with `conflict` naming file, commit and line when it cannot be
   * understood. Undefined where there is no commit yet, or no such branch.
   */
  read(repo: TaskRepo, since: string | undefined, signal?: AbortSignal): Promise<FileGates | undefined>;
  /** Makes the gates of the repository, which is locked, what the file says, and records it. */
  apply(tx: Tx, repoId: string, file: FileGates | undefined, now: Date): Promise<void>;
  /** Both, when the default branch has moved on. */
  refresh(repoId: string, signal?: AbortSignal): Promise<void>;
}

export function createGateFiles({ db, clock, newId, appended, vcs, tasks }: GateFilesDeps): GateFiles {
  async function read(repo: TaskRepo, since: string | undefined, signal?: AbortSignal): Promise<FileGates | undefined> {
    const input = { repo, path: gatesFilePath, maxBytes: maxGatesFileBytes, known: since, signal };
    const found = await vcs.readDefault(input).catch((error: unknown) => {
      throw error instanceof AppError && error.kind === 'conflict'
        ? ofFile(error, error.message, error.details)
        : error;
    });
    if (found === undefined) return undefined;
    const { commit, text } = found;
    try {
      return { commit, specs: text === undefined ? [] : parseGatesFile(text), since };
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      const message = `${gatesFilePath} on ${repo.defaultBranch} (${commit}): ${error.message}`;
      throw ofFile(error, message, { ...error.details, commit });
    }
  }

  async function apply(tx: Tx, repoId: string, file: FileGates | undefined, now: Date): Promise<void> {
    if (file === undefined || file.commit === file.since || (await findFileCommit(tx, repoId)) !== file.since) return;
    const known = (await listGates(tx, { type: 'Repo', id: repoId })).filter(({ source }) => source === 'File');
    const byName = new Map(known.map((gate) => [gate.name, gate]));
    const wanted = new Set(file.specs.map(({ name }) => name));
    const gone = known.filter(({ name }) => !wanted.has(name));
    await deleteGates(
      tx,
      gone.map(({ id }) => id),
    );
    const changes = gone.map(gateRemovedChange);
    for (const spec of file.specs) {
      const before = byName.get(spec.name);
      if (before !== undefined && isSame(before, spec)) continue;
      const gate = { ...(before ?? newGate(repoId, now)), ...spec, updatedAt: now };
      await (before === undefined ? insertGate : updateGate)(tx, gate);
      changes.push(gateChange(before === undefined ? 'GateAdded' : 'GateUpdated', gate));
    }
    await saveFileCommit(tx, repoId, file.commit);
    await appendEvents(tx, systemOrigin, now, changes);
    tx.afterCommit(() => changes.forEach(({ type }) => appended(type, 1)));
  }

  function newGate(repoId: string, now: Date): Pick<Gate, 'id' | 'repoId' | 'scope' | 'source' | 'createdAt'> {
    return { id: newId('gate'), repoId, scope: { type: 'Repo', id: repoId }, source: 'File', createdAt: now };
  }

  return {
    commitOf: findFileCommit,
    read,
    apply,
    async refresh(repoId, signal) {
      const repo = await getRepo(db, repoId);
      const file = repo && (await read(repo, await findFileCommit(db, repoId), signal));
      if (file === undefined || file.commit === file.since) return;
      await db.transaction(async (tx) => {
        await tasks.lock(tx, repoId);
        // It may have been unregistered meanwhile.
        if ((await getRepo(tx, repoId)) !== undefined) await apply(tx, repoId, file, clock.now());
      });
    },
  };
}

function ofFile(cause: AppError, message: string, details: ErrorDetails = {}): AppError {
  const { path: _path, ...others } = details;
  return new AppError('conflict', message, { details: { ...others, file: gatesFilePath }, cause });
}
