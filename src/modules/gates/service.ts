import { AppError, invalidField } from '../../errors.js';
import type { Clock } from '../../platform/clock.js';
import { numberCursor } from '../../platform/cursor.js';
import type { Db, Tx } from '../../platform/db/db.js';
import type { Keep } from '../../platform/idempotency/keep.js';
import type { NewId } from '../../platform/ids.js';
import type { Log } from '../../platform/log.js';
import { createPaging, type PageInput } from '../../platform/paging.js';
import { type Appended, appendEvents, type Change, type Origin } from '../events/index.js';
import { getRepo } from '../repos/index.js';
import { gateChange, gateRemovedChange } from './changes.js';
import type { GateFiles } from './file.js';
import type { GatedReviews, GatedTasks } from './gated.js';
import {
  type Gate,
  gateNotFound,
  isGateId,
  isOfFile,
  type Lineage,
  nameTaken,
  noSuchScope,
  type PatchInput,
  patched,
  reviewOpen,
  type Scope,
  tooManyGates,
} from './gates.js';
import { gatesFilePath } from './gates-file.js';
import { type GateInput, gateSpec, maxGates } from './rules.js';
import type { Run } from './runs.js';
import { deleteGates, findEffective, findGate, insertGate, listGates, updateGate } from './store.js';
import { type ListedRun, listRunsAfter } from './store-runs.js';

export interface GatesDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly log: Log;
  /** Called after a commit with events in it. */
  readonly appended: Appended;
  readonly files: GateFiles;
  readonly tasks: GatedTasks;
  readonly reviews: Pick<GatedReviews, 'exists'>;
}

export interface CreateInput extends GateInput {
  readonly scope?: Partial<Scope> | null | undefined;
}

/** The use cases of gates. Everything rejects with AppErrors that name the field at fault. */
export interface Gates {
  /** Rejects with `conflict` for a name that is taken, and with `review_open`, as do the other changes. */
  create(input: CreateInput, origin: Origin, keep?: Keep<Gate>): Promise<Gate>;
  get(id: string): Promise<Gate>;
  update(input: PatchInput, origin: Origin, keep?: Keep<Gate>): Promise<Gate>;
  remove(id: string, origin: Origin, keep?: Keep<void>): Promise<void>;
  /** Of a scope itself, in the order in which they were added. */
  list(scope: Partial<Scope>, signal?: AbortSignal): Promise<readonly Gate[]>;
  /** All that a task has to pass. */
  effective(taskId: string, signal?: AbortSignal): Promise<readonly Gate[]>;
  /** Every attempt of a review, oldest first. */
  results(input: ResultsInput): Promise<{ readonly results: readonly Run[]; readonly nextCursor: string | undefined }>;
}

export interface ResultsInput extends PageInput {
  readonly reviewId: string;
}

const paging = createPaging(numberCursor('gate_run'), (listed: ListedRun) => listed.n);
/** How much of what gates have printed goes on a page, in characters; at least one result does. Clients of gRPC take 4 MiB. */
const maxPrinted = 1024 * 1024;

type Made<T> = { readonly result: T; readonly change: Change };

export function createGates({ db, clock, newId, log, appended, files, tasks, reviews }: GatesDeps): Gates {
  async function get(id: string): Promise<Gate> {
    const gate = isGateId(id) ? await findGate(db, id) : undefined;
    if (gate === undefined) throw gateNotFound(id);
    return gate;
  }

  /** Which repository a scope is in. Throws `invalid_request` when there is no such scope. */
  async function repoOf(scope: Scope, field: string): Promise<string> {
    const known = scope.type === 'Repo' ? await getRepo(db, scope.id) : await tasks.lineage(db, scope.id);
    if (known === undefined) throw noSuchScope(field, scope);
    return 'repoId' in known ? known.repoId : known.id;
  }

  /** Makes a change of a scope's gates with no other change of its repository under way. */
  async function change<T>(
    { scope, repoId }: Pick<Gate, 'scope' | 'repoId'>,
    origin: Origin,
    keep: Keep<T> | undefined,
    make: (tx: Tx, now: Date) => Promise<Made<T>>,
  ): Promise<T> {
    const made = await db.transaction(async (tx) => {
      await tasks.lock(tx, repoId);
      const open = await tasks.openReviews(tx, scope);
      if (open.length > 0) throw reviewOpen(scope, open);
      const now = clock.now();
      const done = await make(tx, now);
      await appendEvents(tx, origin, now, [done.change]);
      await keep?.(tx, done.result);
      return done;
    });
    const { type, payload } = made.change;
    appended(type, 1);
    log.info('gate_changed', {
      corr_id: origin.correlationId,
      type,
      gate_id: payload['gate_id'],
      repo_id: repoId,
    });
    return made.result;
  }

  /** The gate as it is while its repository is locked. */
  async function changeable(tx: Tx, id: string): Promise<Gate> {
    const gate = await findGate(tx, id);
    if (gate === undefined) throw gateNotFound(id);
    if (gate.source === 'File') throw isOfFile(gate, gatesFilePath);
    return gate;
  }

  /** Throws `conflict` when another gate of the scope has the name. */
  async function checkName(tx: Tx, gate: Gate): Promise<readonly Gate[]> {
    const others = (await listGates(tx, gate.scope)).filter(({ source, id }) => source === 'Api' && id !== gate.id);
    const taken = others.find(({ name }) => name === gate.name);
    if (taken !== undefined) throw nameTaken(gate, taken.id);
    return others;
  }

  async function lineageOf(taskId: string): Promise<Lineage> {
    const lineage = await tasks.lineage(db, taskId);
    if (lineage === undefined) throw new AppError('not_found', `There is no task ${taskId.slice(0, 100)}.`);
    return lineage;
  }

  return {
    get,
    async create(input, origin, keep) {
      const scope = scopeOf(input.scope ?? {}, 'scope.type', 'scope.id');
      const spec = gateSpec(input);
      const repoId = await repoOf(scope, 'scope.id');
      return change<Gate>({ scope, repoId }, origin, keep, async (tx, now) => {
        const known = scope.type === 'Repo' ? await getRepo(tx, scope.id) : await tasks.lineage(tx, scope.id);
        // Deleted meanwhile.
        if (known === undefined) throw noSuchScope('scope.id', scope);
        const gate: Gate = {
          ...spec,
          ...{ id: newId('gate'), scope, source: 'Api', repoId, createdAt: now, updatedAt: now },
        };
        if ((await checkName(tx, gate)).length >= maxGates) throw tooManyGates(scope);
        await insertGate(tx, gate);
        return { result: gate, change: gateChange('GateAdded', gate) };
      });
    },
    async update(input, origin, keep) {
      const before = await get(input.id);
      patched(before, input, before.updatedAt);
      return change<Gate>(before, origin, keep, async (tx, now) => {
        const gate = patched(await changeable(tx, input.id), input, now);
        await checkName(tx, gate);
        await updateGate(tx, gate);
        return { result: gate, change: gateChange('GateUpdated', gate) };
      });
    },
    async remove(id, origin, keep) {
      await change<void>(await get(id), origin, keep, async (tx) => {
        const gate = await changeable(tx, id);
        await deleteGates(tx, [id]);
        return { result: undefined, change: gateRemovedChange(gate) };
      });
    },
    async list(input, signal) {
      const scope = scopeOf(input, 'scope', 'id');
      await repoOf(scope, 'id');
      if (scope.type === 'Repo') await files.refresh(scope.id, signal);
      return listGates(db, scope);
    },
    async effective(taskId, signal) {
      const lineage = await lineageOf(taskId);
      await files.refresh(lineage.repoId, signal);
      return (await findEffective(db, [lineage]))[0] ?? [];
    },
    async results(input) {
      const page = paging(input);
      const { reviewId } = input;
      if (!(await reviews.exists(db, reviewId))) throw reviewNotFound(reviewId);
      const found = await listRunsAfter(db, reviewId, page.place ?? 0, page.count);
      const { rows, nextCursor } = page.of(found, countThatFit(found.map(({ run }) => run)));
      return { results: rows.map(({ run }) => run), nextCursor };
    },
  };
}

function countThatFit(runs: readonly Run[]): number {
  let printed = 0;
  const over = runs.findIndex(({ stdout, stderr }, index) => {
    printed += stdout.length + stderr.length;
    return index > 0 && printed > maxPrinted;
  });
  return over < 0 ? runs.length : over;
}

function scopeOf({ type, id }: Partial<Scope>, typeField: string, idField: string): Scope {
  if (type === undefined) throw invalidField(typeField, 'is required');
  if (id === undefined || id === '') throw invalidField(idField, 'is required');
  return { type, id };
}

export function reviewNotFound(id: string): AppError {
  return new AppError('not_found', `There is no review ${id.slice(0, 100)}.`);
}
