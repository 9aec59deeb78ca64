import { AppError } from '../../errors.js';
import type { Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import { firstLine } from '../../platform/text.js';
import { appendEvents, type Change, type Origin } from '../events/index.js';
import { getRepo } from '../repos/index.js';
import { insertDoer, openReview } from '../reviews/index.js';
import type { Person, Prepared, TaskRef, Vcs } from '../vcs/index.js';
import { branchOf } from '../vcs/index.js';
import { checkUnblocked } from './blockers.js';
import type { ChangerDeps } from './changer.js';
import { vcsChange } from './changes.js';
import { createHolds, type Holds } from './holds.js';
import { move } from './moves.js';
import { findFull, type TaskWithContext } from './reader.js';
import { findNodes, findTask, lockGraphOf, lockGraphs, type Node } from './store.js';
import { findUnreleased } from './store-blockers.js';
import { findNextReady, type WorkScope } from './store-list.js';
import {
  findVcsRows,
  type Hold,
  holdReady,
  insertHeld,
  insertRest,
  markArchived,
  setStarting,
  settleArchived,
  settleBack,
  settleCommitted,
  settleGone,
  settlePrepared,
  type TaskVcs,
  vcsOf,
  type VcsRow,
} from './store-vcs.js';
import { isTaskId, type Task, taskNotFound } from './tasks.js';
import { target } from './transitions.js';

export interface WorkDeps extends ChangerDeps {
  readonly newId: NewId;
  readonly vcs: Pick<Vcs, 'prepare' | 'commit' | 'archive'>;
  /** Who commits what tasks have come to. */
  readonly committer: Person;
  readonly pollMs: number;
}

export interface StartInput {
  readonly id: string;
  readonly base?: string | undefined;
}

export interface SubmitInput {
  readonly id: string;
  readonly message?: string | undefined;
  readonly allowEmpty?: boolean | undefined;
}

/**
 * What takes git. Each of these says in one transaction what it is about to do, has git do it, and says in another what has come of it;
 * who waits for git holds no lock. Whoever dies on the way leaves a row by which any server puts things right.
 */
export interface Work {
  /** Rejects with `blocked`, `conflict` and what `Vcs.prepare` rejects with; the task is then as it was. */
  start(input: StartInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  /** Starts the ready task that goes first, which nobody else then gets. Undefined when none is ready. */
  claimNext(
    scope: WorkScope,
    origin: Origin,
    keep?: Keep<TaskWithContext | undefined>,
  ): Promise<TaskWithContext | undefined>;
  /** Rejects with `nothing_to_submit` and what `Vcs.commit` rejects with; the task is then as it was. */
  submit(input: SubmitInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
  /** Removes branch and work tree of a task that is Completed or Cancelled, and keeps its commits. */
  archive(id: string, origin: Origin, keep?: Keep<TaskVcs>): Promise<TaskVcs>;
  /** To be called when deleted tasks have left something. */
  cleanUp(): void;
  readonly background: Pick<Holds, 'start' | 'stop'>;
}

/** A task in hands, for which git is to do something. */
interface Held {
  readonly node: Node;
  readonly ref: TaskRef;
  readonly hold: Hold;
  /** As it was before. */
  readonly row: VcsRow | undefined;
}

export function createWork(deps: WorkDeps): Work {
  const { db, clock, log, newId, vcs, committer, pollMs, appended } = deps;
  const holds = createHolds({ db, clock, log, pollMs, heal });

  /** The task, with its repository locked. */
  async function lockTask(tx: Tx, id: string): Promise<Node> {
    const repoId = isTaskId(id) ? await lockGraphOf(tx, id) : undefined;
    const node = repoId === undefined ? undefined : (await findNodes(tx, [id])).get(id);
    if (node === undefined) throw taskNotFound(id);
    return node;
  }

  async function refOf(tx: Tx, node: Pick<Node, 'id' | 'repoId'>): Promise<TaskRef> {
    const repo = await getRepo(tx, node.repoId);
    if (repo === undefined) throw new Error(`${node.id} is in no repository`);
    return { repo, taskId: node.id };
  }

  /** Takes a task into our hands for a step. */
  async function take(tx: Tx, node: Node, state: 'preparing' | 'committing' | 'archiving'): Promise<Held> {
    const row = (await findVcsRows(tx, [node.id])).get(node.id);
    if (row !== undefined && row.state !== 'ready') throw inOtherHands(node.id, row);
    const hold = holds.create(node.id);
    if (row !== undefined) await holdReady(tx, hold, state);
    else await insertHeld(tx, hold, { repoId: node.repoId, refName: branchOf(node.id) }, clock.now());
    return { node, ref: await refOf(tx, node), hold, row };
  }

  /** Has git do something, and writes down what has come of it; when either fails, all is as it was before. */
  async function carryOut<T, R>(
    held: Held,
    git: (signal: AbortSignal) => Promise<T>,
    settle: (tx: Tx, made: T) => Promise<R>,
  ): Promise<R> {
    return holds.keep(held.hold, async (signal) => {
      try {
        const made = await git(signal);
        return await db.transaction((tx) => settle(tx, made));
      } catch (error) {
        // What cannot be undone now is healed when the hold is over.
        await undo(held).catch((cause: unknown) =>
          log.warn('work_not_undone', { task_id: held.node.id, error: cause }),
        );
        throw error;
      }
    });
  }

  /** Takes back what was begun, as far as it is still in these hands. */
  async function undo({ node, ref, hold }: Pick<Held, 'ref' | 'hold'> & { node: Pick<Node, 'id' | 'repoId'> }) {
    const row = (await findVcsRows(db, [node.id])).get(node.id);
    // When others have done that already, git may have gone on behind their back.
    const isOurs = row === undefined ? await holdRest(node, hold) : row.holder === hold.holder;
    if (!isOurs) return;
    const isUnmade = row === undefined || row.state === 'removing' || row.base_commit === null;
    if (isUnmade) await vcs.archive(ref);
    await db.transaction(async (tx) => {
      await lockGraphs(tx, [node.repoId]);
      if (isUnmade) await settleGone(tx, hold);
      else await settleBack(tx, hold);
      if (row?.state === 'preparing') await setStarting(tx, node.id, false);
    });
  }

  /** Takes what git may have left of a task that nobody has in hands. Answers whether it could. */
  function holdRest(node: Pick<Node, 'id' | 'repoId'>, hold: Hold): Promise<boolean> {
    return db.transaction(async (tx) => {
      await lockGraphs(tx, [node.repoId]);
      const { until } = holds.create(node.id);
      const made = { repoId: node.repoId, refName: branchOf(node.id) };
      return insertRest(tx, { ...hold, until }, made, clock.now());
    });
  }

  async function heal(row: VcsRow, hold: Hold): Promise<void> {
    const node = { id: row.task_id, repoId: row.repo_id };
    const ref = await db.transaction((tx) => refOf(tx, node));
    return row.state === 'archiving' ? clearAway({ ref, hold }) : undo({ node, ref, hold });
  }

  async function clearAway({ ref, hold }: Pick<Held, 'ref' | 'hold'>): Promise<void> {
    await vcs.archive(ref);
    await settleArchived(db, hold);
  }

  async function archiveRow(tx: Tx, node: Node, origin: Origin) {
    const { id } = node;
    const held = await take(tx, node, 'archiving');
    const now = clock.now();
    await markArchived(tx, id, now);
    const row = (await findVcsRows(tx, [id])).get(id);
    const made = vcsOf(row);
    if (made === undefined) throw new Error(`${id} has nothing to be archived`);
    const changes = [vcsChange('TaskArchived', node, row)];
    await appendEvents(tx, origin, now, changes);
    return { held, made, changes };
  }

  async function reserve(tx: Tx, node: Node, base: string | undefined): Promise<Held & { readonly base?: string }> {
    const { id } = node;
    target(id, node.status, 'start');
    if (node.starting) throw new AppError('conflict', `${id} is being started by somebody else.`);
    if (node.ownBlockers + node.blockersAbove > 0) checkUnblocked(id, await findUnreleased(tx, node));
    const held = await take(tx, node, 'preparing');
    await setStarting(tx, id, true);
    const known = held.row?.base_commit ?? undefined;
    if (known !== undefined && base !== undefined) throw baseStays(id, known);
    const begin = known ?? base ?? (await inheritedBase(tx, node));
    return { ...held, ...(begin !== undefined && { base: begin }) };
  }

  async function prepare<R>(
    held: Held & { readonly base?: string },
    origin: Origin,
    answer: (tx: Tx) => Promise<R>,
  ): Promise<R> {
    const isNew = held.row === undefined;
    const started = await carryOut(
      held,
      (signal) => vcs.prepare({ ...held.ref, base: held.base, fresh: isNew, signal }),
      async (tx, made) => {
        const changes = await settleStart(tx, held, made, isNew, origin);
        return { changes, result: await answer(tx) };
      },
    );
    tell(started.changes, origin);
    return started.result;
  }

  async function settleStart(
    tx: Tx,
    { node: { id }, hold }: Held,
    made: Prepared,
    isNew: boolean,
    origin: Origin,
  ): Promise<readonly Change[]> {
    const node = await lockTask(tx, id);
    const now = clock.now();
    // Somebody may have cancelled it meanwhile.
    target(id, node.status, 'start');
    const row = await settlePrepared(tx, hold, made, now);
    if (row === undefined) throw lostHold(id);
    await setStarting(tx, id, false);
    await insertDoer(tx, id, origin.actor.id);
    const created = isNew ? [vcsChange('RefCreated', node, row)] : [];
    const changes = [...created, ...(await move(tx, node, 'InProgress', 'TaskStarted', now))];
    await appendEvents(tx, origin, now, changes);
    return changes;
  }

  function tell(changes: readonly Change[], origin: Origin): void {
    for (const { type, taskId, repoId } of changes) {
      appended(type, 1);
      log.info('work_changed', { corr_id: origin.correlationId, type, task_id: taskId, repo_id: repoId });
    }
  }

  /** In the transaction, as the change's answer. */
  async function answerTask(tx: Tx, id: string, keep: Keep<Task> | undefined): Promise<Task> {
    const task = await findTask(tx, id);
    if (task === undefined) throw taskNotFound(id);
    await keep?.(tx, task);
    return task;
  }

  return {
    async start({ id, base }, origin, keep) {
      const held = await db.transaction(async (tx) => reserve(tx, await lockTask(tx, id), base));
      return prepare(held, origin, (tx) => answerTask(tx, id, keep));
    },
    async claimNext(scope, origin, keep) {
      const held = await db.transaction(async (tx) => {
        await lockGraphs(tx, [scope.repoId]);
        const id = await findNextReady(tx, scope);
        const node = id === undefined ? undefined : (await findNodes(tx, [id])).get(id);
        if (node !== undefined) return reserve(tx, node, undefined);
        await keep?.(tx, undefined);
        return undefined;
      });
      if (held === undefined) return undefined;
      return prepare(held, origin, async (tx) => {
        const [full] = await findFull(tx, [held.node.id]);
        await keep?.(tx, full);
        return full;
      });
    },
    async submit({ id, message, allowEmpty }, origin, keep) {
      const held = await db.transaction(async (tx) => {
        const node = await lockTask(tx, id);
        target(id, node.status, 'submit');
        const taken = await take(tx, node, 'committing');
        const started = vcsOf(taken.row);
        if (started === undefined) throw neverStarted(id);
        return { ...taken, started, message: message ?? (await messageFor(tx, id)) };
      });
      const { baseCommit, headCommit: before } = held.started;
      const input = { ...held.ref, baseCommit, message: held.message, author: committer, committer, allowEmpty };
      const { changes, task } = await carryOut(
        held,
        (signal) => vcs.commit({ ...input, signal }),
        async (tx, { headCommit, headTree }) => {
          const node = await lockTask(tx, id);
          const now = clock.now();
          const to = target(id, node.status, 'submit');
          const row = await settleCommitted(tx, held.hold, headCommit, now);
          if (row === undefined) throw lostHold(id);
          const committed = headCommit === (before ?? baseCommit) ? [] : [vcsChange('Committed', node, row)];
          const moved = await move(tx, node, to, 'TaskSubmitted', now);
          await insertDoer(tx, id, origin.actor.id);
          const opened = await openReview(tx, newId, node, { baseCommit, headCommit, headTree }, now);
          const all = [...committed, ...moved, opened];
          await appendEvents(tx, origin, now, all);
          return { changes: all, task: await answerTask(tx, id, keep) };
        },
      );
      tell(changes, origin);
      return task;
    },
    async archive(id, origin, keep) {
      const { made, changes, held } = await db.transaction(async (tx) => {
        const node = await lockTask(tx, id);
        if (node.status !== 'Completed' && node.status !== 'Cancelled') throw notDone(id, node);
        const row = (await findVcsRows(tx, [id])).get(id);
        if (row === undefined) throw nothingToArchive(id);
        const known = row.archived_at === null ? undefined : vcsOf(row);
        const archived = known === undefined ? await archiveRow(tx, node, origin) : { made: known, changes: [] };
        await keep?.(tx, archived.made);
        return { held: undefined, ...archived };
      });
      tell(changes, origin);
      if (held !== undefined) {
        // That it is archived is decided. Should git fail now, it is tried again until it does not.
        await holds
          .keep(held.hold, () => clearAway(held))
          .catch((error: unknown) => log.warn('work_not_cleared_away', { task_id: id, error }));
      }
      return made;
    },
    cleanUp: () => holds.wake(),
    background: { start: () => holds.start(), stop: () => holds.stop() },
  };
}

/** Where a task begins: at the tip of the nearest ancestor that was started. Undefined: at that of the default branch. */
async function inheritedBase(tx: Tx, { parentId, grandId }: Node): Promise<string | undefined> {
  const ids = [parentId, grandId].filter((id) => id !== undefined);
  if (ids.length === 0) return undefined;
  const rows = await findVcsRows(tx, ids);
  for (const id of ids) {
    const row = rows.get(id);
    if (row === undefined || row.base_commit === null) continue;
    return row.archived_at !== null ? (row.head_commit ?? row.base_commit) : row.ref_name;
  }
  return undefined;
}

/** What a commit says when nobody has said anything. */
async function messageFor(tx: Tx, id: string): Promise<string> {
  const task = await findTask(tx, id);
  return `${firstLine(task?.description ?? '')}\n\nTask: ${id}\n`;
}

function inOtherHands(id: string, { state, archived_at: archivedAt }: VcsRow): AppError {
  const why = archivedAt !== null ? 'is archived' : `is ${state} in other hands; try again`;
  return new AppError('conflict', `The work tree of ${id} ${why}.`, { details: { id, state } });
}

function lostHold(id: string): AppError {
  return new AppError('unavailable', `Git took so long over ${id} that others have put things right; try again.`);
}

function baseStays(id: string, base: string): AppError {
  return new AppError('conflict', `base: ${id} began at ${base} when it was first started, and stays there.`, {
    details: { field: 'base', base_commit: base },
  });
}

function neverStarted(id: string): AppError {
  return new AppError(
    'invalid_state',
    `${id} has no work tree: nobody has started it. Set it to Pending, and start it.`,
    {
      details: { from: 'InProgress', to: 'InReview', allowed: ['Pending'] },
    },
  );
}

function notDone(id: string, { status }: Node): AppError {
  return new AppError('invalid_state', `${id} is ${status}; only what is Completed or Cancelled can be archived.`, {
    details: { from: status, to: 'archived', allowed: [] },
  });
}

function nothingToArchive(id: string): AppError {
  return new AppError('conflict', `${id} was never started, so that there is nothing to be archived.`, {
    details: { id },
  });
}
