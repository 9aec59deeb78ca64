import { AppError, invalidField } from '../../errors.js';
import { isId } from '../../platform/ids.js';
import { type GateInput, gateNumbers, gateSpec, type GateSpec, maxGates } from './rules.js';

export const scopeTypes = ['Repo', 'Task'] as const;

/** What a gate belongs to. */
export interface Scope {
  readonly type: (typeof scopeTypes)[number];
  readonly id: string;
}

/** Where a gate is written down. */
export type GateSource = 'Api' | 'File';

export interface Gate extends GateSpec {
  readonly id: string;
  readonly scope: Scope;
  readonly source: GateSource;
  /** The scope's own id, or that of its task's repository. */
  readonly repoId: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A task with all that hands gates down to it. */
export interface Lineage {
  readonly repoId: string;
  /** From its topmost ancestor down to itself. */
  readonly taskIds: readonly string[];
}

export type PatchInput = { readonly id: string } & {
  readonly [K in keyof GateInput]?: GateInput[K] | null | undefined;
};

/** A gate after a change of the fields that are given. Throws `invalid_request` naming the field. */
export function patched(gate: Gate, patch: PatchInput, now: Date): Gate {
  const spec = gateSpec({
    name: patch.name ?? gate.name,
    command: patch.command ?? gate.command,
    ...Object.fromEntries(numbers.map((key) => [key, patch[key] ?? gate[key]])),
  });
  return { ...gate, ...spec, updatedAt: now };
}

const numbers = Object.keys(gateNumbers) as (keyof typeof gateNumbers)[];
const specFields = ['name', 'command', ...numbers] as const satisfies readonly (keyof GateSpec)[];

/** Whether both ask for the same. */
export function isSame(one: GateSpec, other: GateSpec): boolean {
  return specFields.every((field) => one[field] === other[field]);
}

export function isGateId(text: string): boolean {
  return isId('gate', text);
}

/** For an id in a path. */
export function gateNotFound(id: string): AppError {
  return new AppError('not_found', `There is no gate ${id.length <= 100 ? id : `${id.slice(0, 100)}…`}.`);
}

export function nameTaken({ scope, name }: Pick<Gate, 'scope' | 'name'>, id: string): AppError {
  return new AppError('conflict', `name: ${scope.id} has a gate '${name}' already, ${id}.`, {
    details: { field: 'name', id },
  });
}

export function tooManyGates({ id }: Scope): AppError {
  return new AppError('conflict', `${id} has ${maxGates} gates already, which is as many as may be.`, {
    details: { max: maxGates },
  });
}

/** It is changed where it is written down. */
export function isOfFile({ id }: Gate, file: string): AppError {
  return new AppError('conflict', `${id} stands in ${file} on the default branch, and is changed there.`, {
    details: { id, source: 'File', file },
  });
}

/** What an open review has to pass stays as it is. */
export function reviewOpen(scope: Scope, reviewIds: readonly string[]): AppError {
  const some = reviewIds.slice(0, 3).join(', ');
  const more = reviewIds.length > 3 ? ` and ${reviewIds.length - 3} more` : '';
  return new AppError('review_open', `The gates of ${scope.id} stay as they are while ${some}${more} is open.`, {
    details: { review_ids: reviewIds.slice(0, 100) },
  });
}

export function noSuchScope(field: string, { type, id }: Scope): AppError {
  return invalidField(field, `there is no ${type === 'Repo' ? 'repository' : 'task'} ${id.slice(0, 100)}`);
}
