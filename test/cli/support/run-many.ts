import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import type { Ended, RunOptions } from './muster.js';

const commands = path.join(import.meta.dirname, '..', '..', '..', 'dist', 'src', 'cli', 'commands.js');

/** Keeps what a command writes, for the real writer stands behind what it replaces. */
const script = `
  import { readFileSync } from 'node:fs';
  const { runCommand } = await import(${JSON.stringify(pathToFileURL(commands).href)});
  const writeAnswer = process.stdout.write.bind(process.stdout);
  const answers = [];
  for (const args of JSON.parse(readFileSync(0, 'utf8'))) {
    const said = { stdout: '', stderr: '' };
    process.stdout.write = (text) => { said.stdout += text; return true; };
    process.stderr.write = (text) => { said.stderr += text; return true; };
    const code = await runCommand(args);
    answers.push({ code, ...said });
  }
  writeAnswer(JSON.stringify(answers));
`;

/**
 * Runs the built `muster` with each of these command lines, one after the other in one process, since to start a process for each takes
 * many times as long. For those that end at once and leave nothing behind.
 */
export async function runMany(
  lines: readonly (readonly string[])[],
  { env = {}, cwd = tmpdir() }: Pick<RunOptions, 'env' | 'cwd'> = {},
): Promise<readonly Ended[]> {
  const running = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd,
    env: { PATH: process.env['PATH'], ...env },
    maxBuffer: 2 ** 26,
  });
  running.child.stdin?.end(JSON.stringify(lines));
  return JSON.parse((await running).stdout) as Ended[];
}
