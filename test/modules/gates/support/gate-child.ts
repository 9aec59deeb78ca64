import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { onTestFinished } from 'vitest';
import type { GateCommand } from '../../../../src/modules/gates/command.js';

const command = path.join(import.meta.dirname, '../../../../dist/src/modules/gates/command.js');

const program = `
  const { runGateCommand } = await import('${pathToFileURL(command).href}');
  const onOutput = (stream, chunk) => process.stdout.write(chunk);
  await runGateCommand({ ...JSON.parse(process.argv[1]), onOutput, signal: new AbortController().signal });
`;

/**
 * Has a process of its own run the command of a gate, as a server would, and answers it when the command has begun to speak. It is killed
 * after the case. Needs the built program.
 */
export async function startGateChild(gate: Omit<GateCommand, 'signal' | 'onOutput'>): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program, JSON.stringify(gate)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await Promise.race([
    once(child.stdout, 'data'),
    ended.then(() => {
      throw new Error('ended before its command said anything');
    }),
  ]);
  return child;
}
