import { AppError } from '../../errors.js';
import type { Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import { firstLine } from '../../platform/text.js';
import { appendEvents, type Change, type Origin } from '../events/index.js';
import type { FileGates, GateFiles, GateRounds } from '../gates/index.js';
import { insertDoer, openReview } from '../reviews/index.js';
import type { CommittedWork, Person, Vcs } from '../vcs/index.js';
import { type ChangerDeps, lockTask, presentTask } from './changer.js';
import { vcsChange } from './changes.js';
import { move } from './moves.js';
import { type Held, lockSeen, lostHold, mayBeForgotten, type Steps } from './steps.js';
import { findTask, lineageOf, type Node } from './store.js';
import { settleCommitted, type TaskVcs, vcsOf } from './store-vcs.js';
import type { Task } from './tasks.js';
import { target } from './transitions.js';

export interface SubmitterDeps extends Pick<ChangerDeps, 'db' | 'clock'> {
  readonly newId: NewId;
  readonly vcs: Pick<Vcs, 'commit'>;
  readonly gates: { readonly files: Pick<GateFiles, 'commitOf' | 'read' | 'apply'>; readonly rounds: GateRounds };
  /** Who commits what tasks have come to. */
  readonly committer: Person;
}

export interface SubmitInput {
  readonly id: string;
  readonly message?: string | undefined;
  readonly allowEmpty?: boolean | undefined;
}

/** Submits what tasks have come to. */
export interface Submitter {
  /** Rejects with `nothing_to_submit`, and as `Vcs.commit` and `GateFiles.read` do; the task is then as it was. */
  submit(input: SubmitInput, origin: Origin, keep?: Keep<Task>): Promise<Task>;
}

/** A task that is to be submitted, as it was started. */
interface Begun extends Held {
  readonly started: TaskVcs;
  readonly message: string;
  /** The commit of which the gates of its repository are. */
  readonly gatesOf: string | undefined;
}

export function createSubmitter({ db, clock, newId, vcs, gates, committer }: SubmitterDeps, steps: Steps): Submitter {
  async function begin(tx: Tx, { id, message }: SubmitInput): Promise<Begun> {
    const seen = await lockSeen(tx, id);
    target(id, seen.node.status, 'submit');
    const [held, text, gatesOf] = await Promise.all([
      steps.take(tx, seen, 'committing'),
      message ?? messageFor(tx, id),
      gates.files.commitOf(tx, seen.node.repoId),
    ]);
    const started = vcsOf(held.row);
    if (started === undefined) throw neverStarted(id);
    return { ...held, started, message: text, gatesOf };
  }

  /** Opens one, with the gates as the repository's file has them. */
  async function review(
    tx: Tx,
    node: Node,
    { baseCommit, headCommit, headTree }: Omit<CommittedWork, 'kept'> & { readonly baseCommit: string },
    file: FileGates | undefined,
    origin: Origin,
    now: Date,
  ): Promise<readonly Change[]> {
    const { files, rounds } = gates;
    await files.apply(tx, node.repoId, file, now);
    const submission = { baseCommit, headCommit, headTree: await headTree };
    return openReview(tx, { newId, rounds }, { ...node, lineage: lineageOf(node) }, submission, origin, now);
  }

  async function settle(
    tx: Tx,
    { node: { id }, hold, started }: Begun,
    { file, kept, ...submitted }: CommittedWork & { readonly file: FileGates | undefined },
    origin: Origin,
    keep: Keep<Task> | undefined,
  ): Promise<{ readonly changes: readonly Change[]; readonly task: Task }> {
    const { baseCommit, headCommit: before = baseCommit } = started;
    const { headCommit } = submitted;
    const node = await lockTask(tx, id);
    const now = clock.now();
    // Somebody may have cancelled it meanwhile.
    const to = target(id, node.status, 'submit');
    const [row, moved, opened] = await Promise.all([
      settleCommitted(tx, hold, headCommit, now),
      move(tx, node, to, 'TaskSubmitted', now),
      review(tx, node, { baseCommit, ...submitted }, file, origin, now),
      insertDoer(tx, id, origin.actor.id),
      kept,
    ]);
    if (row === undefined) throw lostHold(id);
    const committed = headCommit === before ? [] : [vcsChange('Committed', node, row)];
    const changes = [...committed, ...moved, ...opened];
    const [, task] = await Promise.all([appendEvents(tx, origin, now, changes), presentTask(tx, id)]);
    await keep?.(tx, task);
    return { changes, task };
  }

  return {
    async submit(input, origin, keep) {
      const held = await db.transaction((tx) => begin(tx, input), mayBeForgotten);
      const { baseCommit, headCommit: lastHead } = held.started;
      const { message, ref, foreseen } = held;
      const work = {
        ...foreseen,
        baseCommit,
        lastHead,
        message,
        author: committer,
        committer,
        allowEmpty: input.allowEmpty,
      };
      const { changes, task } = await steps.carryOut(
        held,
        async (signal) => {
          let file: Promise<FileGates | undefined> | undefined;
          // Read while git looks at the files.
          const ready = (): Promise<FileGates | undefined> =>
            (file ??= gates.files.read(ref.repo, held.gatesOf, signal));
          return { ...(await vcs.commit({ ...work, ready, signal })), file: await ready() };
        },
        (tx, submitted) => settle(tx, held, submitted, origin, keep),
      );
      steps.tell(changes, origin);
      return task;
    },
  };
}

/** What a commit says when nobody has said anything. */
async function messageFor(tx: Tx, id: string): Promise<string> {
  const task = await findTask(tx, id);
  return `${firstLine(task?.description ?? '')}\n\nTask: ${id}\n`;
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
