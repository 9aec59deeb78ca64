import { GateListScope, GateScopeType, type MusterClient } from '../client/index.js';
import { parse } from '../platform/config.js';
import { CommandError, exitCodes, UsageError } from './errors.js';
import { optional } from './flags.js';
import { type ShownGate, shownGate } from './gate-text.js';
import { placeOf } from './place.js';
import { repoHere } from './task-place.js';

/** Which scope is meant. */
export const scopeFlags = {
  repo: optional({
    flag: 'repo',
    value: 'ID|PATH',
    help: 'Of this repository: for all of its tasks.',
    parse: parse.text,
  }),
  task: optional({ flag: 'task', value: 'ID', help: 'Of this task: for it and all below it.', parse: parse.text }),
};

export const whichScope =
  "Without --repo and --task: in a task's worktree that task is meant, elsewhere the repository of the current directory.";

/** What can be said of a gate besides its name and command. */
export const gateFlags = {
  timeoutSecs: optional({
    flag: 'timeout',
    value: 'DURATION',
    help: 'How long one run may take, such as 300 (seconds) or 5m; 5m unless given.',
    parse: parseSeconds,
  }),
  maxRetries: optional({
    flag: 'max-retries',
    value: 'N',
    help: 'The attempt that is the last one: 0 to 100; 3 unless given. 0 and 1 escalate the first failure.',
    parse: parse.integer(0, 100),
  }),
  pollIntervalSecs: optional({
    flag: 'poll-interval',
    value: 'DURATION',
    help: 'After exit code 75, when it is run again; after 30s unless given.',
    parse: parseSeconds,
  }),
  maxPendingSecs: optional({
    flag: 'max-pending',
    value: 'DURATION',
    help: 'For how long it may go on ending with exit code 75; 1d unless given.',
    parse: parseSeconds,
  }),
};

export interface GateScopeHere {
  readonly type: 'Repo' | 'Task';
  readonly id: string;
}

/** The scope that is named, or that the current directory is in. Throws CommandError. */
export async function scopeHere(
  client: MusterClient,
  { repo, task }: { readonly repo: string | undefined; readonly task: string | undefined },
): Promise<GateScopeHere> {
  if (repo !== undefined && task !== undefined) throw new UsageError('--repo and --task cannot both be given');
  const taskId = task ?? (repo === undefined ? placeOf(process.cwd())?.taskId : undefined);
  if (taskId !== undefined) return { type: 'Task', id: taskId };
  return { type: 'Repo', id: await repoHere(client, repo) };
}

/** As CreateGate takes it. */
export function scopeMessage({ type, id }: GateScopeHere): { readonly type: GateScopeType; readonly id: string } {
  return { type: type === 'Repo' ? GateScopeType.REPO : GateScopeType.TASK, id };
}

/** The gates of a scope itself. */
export async function gatesOf(client: MusterClient, { type, id }: GateScopeHere): Promise<readonly ShownGate[]> {
  const scope = type === 'Repo' ? GateListScope.REPO : GateListScope.TASK;
  return (await client.gates.listGates({ scope, id })).gates.map(shownGate);
}

/** The id of the gate that an argument names: by it, or by its name in a scope. Throws CommandError when there is none. */
export async function gateNamed(
  client: MusterClient,
  text: string,
  scope: Parameters<typeof scopeHere>[1],
): Promise<string> {
  if (/^gate_[0-9A-Z]{26}$/.test(text)) return text;
  const here = await scopeHere(client, scope);
  const found = (await gatesOf(client, here)).filter(({ name }) => name === text);
  // Of two of a name, the one of the repository's file cannot be meant: it is changed there.
  const gate = found.find(({ source }) => source === 'Api') ?? found[0];
  if (gate !== undefined) return gate.id;
  throw new CommandError(`not_found: ${here.id} has no gate '${text}'; see muster gate list`, exitCodes.failed);
}

/** `300` or `5m`: seconds. Throws an Error that says what the value must be. */
function parseSeconds(text: string): number {
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : durationOf(text);
  if (ms % 1000 === 0) return ms / 1000;
  throw new Error('is no whole number of seconds');
}

function durationOf(text: string): number {
  try {
    return parse.duration(text);
  } catch (error) {
    throw new Error('is no number of seconds such as 300, and no duration such as 30s, 5m or 12h', { cause: error });
  }
}
