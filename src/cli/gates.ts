import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes, UsageError } from './errors.js';
import { optional, required } from './flags.js';
import { gateFlags, gateNamed, gatesOf, scopeFlags, scopeHere, scopeMessage, whichScope } from './gate-flags.js';
import { gateTable, type ShownGate, shownGate } from './gate-text.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { taskHere } from './task-place.js';

const commandFlag = {
  flag: 'command',
  value: 'COMMAND',
  help: "Run by /bin/sh -c in the task's worktree: exit code 0 passes, 75 is asked again later, everything else fails.",
  parse: parse.text,
};

export const gateAddCommand = command({
  positionals: ['NAME'],
  flags: { command: required(commandFlag), ...gateFlags, ...scopeFlags, json: jsonFlag, url: urlFlag },
  about: `Prints the id of the gate. ${whichScope}`,
  run: ({ url, json, repo, task, ...fields }, [name = '']) =>
    withClient(url, async (client) => {
      const scope = scopeMessage(await scopeHere(client, { repo, task }));
      const { gate } = await client.gates.createGate({ scope, name, command: fields.command, ...given(fields) });
      const shown = shownGate(gate);
      stdout.line(json ? JSON.stringify(shown) : shown.id);
      return exitCodes.ok;
    }),
});

export const gateListCommand = command({
  flags: { ...scopeFlags, json: jsonFlag, url: urlFlag },
  about: `Its own ones; see muster gate effective for what it inherits. ${whichScope}`,
  run: ({ url, json, ...scope }) =>
    withClient(url, async (client) => {
      const here = await scopeHere(client, scope);
      print(await gatesOf(client, here), json, `${here.id} has no gates of its own.`);
      return exitCodes.ok;
    }),
});

export const gateEffectiveCommand = command({
  positionals: ['[TASK]'],
  flags: { json: jsonFlag, url: urlFlag },
  about: "Its repository's, its milestone's, its parent's and its own. In a task's worktree, that task is meant.",
  run: ({ url, json }, [named]) =>
    withClient(url, async (client) => {
      const taskId = taskHere(named);
      const { gates } = await client.gates.listEffectiveGates({ taskId });
      print(gates.map(shownGate), json, `${taskId} has no gates to pass.`);
      return exitCodes.ok;
    }),
});

export const gateSetCommand = command({
  positionals: ['GATE'],
  flags: {
    name: optional({ flag: 'name', value: 'NAME', help: 'Call it so.', parse: parse.text }),
    command: optional(commandFlag),
    ...gateFlags,
    ...scopeFlags,
    json: jsonFlag,
    url: urlFlag,
  },
  about: `Changes what is given, and nothing else. GATE is an id, or a name. ${whichScope}`,
  run({ url, json, repo, task, ...fields }, [named = '']) {
    const changed = given(fields);
    if (Object.keys(changed).length === 0) throw new UsageError('nothing is to be changed; give a flag that says what');
    return withClient(url, async (client) => {
      const id = await gateNamed(client, named, { repo, task });
      const shown = shownGate((await client.gates.updateGate({ id, ...changed })).gate);
      stdout.line(json ? JSON.stringify(shown) : `${shown.id} is changed`);
      return exitCodes.ok;
    });
  },
});

export const gateRemoveCommand = command({
  positionals: ['GATE'],
  flags: { ...scopeFlags, json: jsonFlag, url: urlFlag },
  about: `What it has found stays with the reviews. GATE is an id, or a name. ${whichScope}`,
  run: ({ url, json, ...scope }, [named = '']) =>
    withClient(url, async (client) => {
      const id = await gateNamed(client, named, scope);
      const { ok } = await client.gates.deleteGate({ id });
      stdout.line(json ? JSON.stringify({ ok }) : `${id} is removed`);
      return exitCodes.ok;
    }),
});

/** The fields that have a value. */
function given<T extends object>(fields: T): { readonly [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function print(gates: readonly ShownGate[], json: boolean, none: string): void {
  if (json) stdout.line(JSON.stringify(gates));
  else if (gates.length === 0) stdout.line(none);
  else for (const line of gateTable(gates, stdout)) stdout.line(line);
}
