import { type ChildProcess, spawn } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import type { Ended, RunOptions } from './muster.js';

const commands = path.join(import.meta.dirname, '..', '..', '..', 'dist', 'src', 'cli', 'commands.js');

/** Keeps what a command writes, for the real writer stands behind what it replaces. */
const script = `
  const { runCommand } = await import(${JSON.stringify(pathToFileURL(commands).href)});
  const own = { ...process.env };
  async function run({ args, env, cwd }) {
    for (const name of Object.keys(process.env)) delete process.env[name];
    Object.assign(process.env, own, env);
    process.chdir(cwd);
    const said = { stdout: '', stderr: '' };
    process.stdout.write = (text) => { said.stdout += text; return true; };
    process.stderr.write = (text) => { said.stderr += text; return true; };
    const code = await runCommand(args);
    return { code, ...said };
  }
  let last = Promise.resolve();
  process.on('message', ({ id, line }) => {
    last = last.then(async () => process.send({ id, ended: await run(line) }));
  });
`;

/**
 * Runs the built `muster` as `runMuster` does, with each command line after the other in one process: to start one for each takes ten
 * times as long as most commands. For those that end at once, read no stdin and leave nothing behind. Needs a `beforeAll(build)`.
 */
export function useOneProcess(): (
  args: readonly string[],
  options?: Pick<RunOptions, 'env' | 'cwd'>,
) => Promise<Ended> {
  const waiting = new Map<
    number,
    { readonly resolve: (ended: Ended) => void; readonly reject: (why: Error) => void }
  >();
  let child: ChildProcess | undefined;
  let exit: Promise<void> | undefined;
  let count = 0;

  beforeAll(() => {
    const started = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'] },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    let stderr = '';
    started.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    started.on('message', ({ id, ended }: { id: number; ended: Ended }) => {
      waiting.get(id)?.resolve(ended);
      waiting.delete(id);
    });
    exit = new Promise((resolve) => {
      started.once('close', () => {
        for (const { reject } of waiting.values()) reject(new Error(`the process ended: ${stderr}`));
        resolve();
      });
    });
    child = started;
  });
  afterAll(async () => {
    child?.kill('SIGKILL');
    await exit;
  });

  return (args, { env = {}, cwd = tmpdir() } = {}) =>
    new Promise((resolve, reject) => {
      const id = (count += 1);
      waiting.set(id, { resolve, reject });
      child?.send({ id, line: { args, env, cwd } }, (error) => error !== null && reject(error));
    });
}
