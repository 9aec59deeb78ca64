import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll } from 'vitest';

const repo = join(import.meta.dirname, '..', '..', '..');

export interface Child {
  readonly pid: number;
  /** The next line that it prints, parsed. Fails when it ends first, with what it wrote to stderr. */
  said(): Promise<Record<string, unknown>>;
  tell(line: string): void;
  readonly exit: Promise<{ code: number | null; signal: string | null }>;
}

export interface ChildOptions {
  readonly args?: readonly string[];
  /** A command that runs the script's, such as `unshare -n`. */
  readonly under?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Scripts of this folder in processes of their own, to be killed. They are compiled before the first case of the file
 * that asks for this, into a folder below dist/, so that they find node_modules. Children end with their case.
 */
export function useChildren(): (script: string, o?: ChildOptions) => Child {
  let out = '';
  const running = new Set<ChildProcess>();
  beforeAll(() => {
    mkdirSync(join(repo, 'dist'), { recursive: true });
    out = mkdtempSync(join(repo, 'dist', 'children-'));
    const config = {
      extends: '../../tsconfig.json',
      // Checked with everything else; here an unfinished file elsewhere should not be in the way.
      compilerOptions: {
        rootDir: repo,
        outDir: out,
        noCheck: true,
        incremental: false,
        tsBuildInfoFile: null,
        declaration: false,
      },
      include: [join(import.meta.dirname, '*-child.ts')],
    };
    writeFileSync(join(out, 'tsconfig.json'), JSON.stringify(config));
    execFileSync(join(repo, 'node_modules', '.bin', 'tsc'), ['-p', out], { stdio: 'inherit' });
    execFileSync('chmod', ['-R', 'a+rX', out]);
  });
  afterEach(() => {
    for (const child of running) child.kill('SIGKILL');
  });
  afterAll(() => rmSync(out, { recursive: true, force: true }));

  return (script, { args = [], under = [], env = {}, ...user } = {}) => {
    const command = [...under, process.execPath, join(out, 'test', 'platform', 'support', `${script}.js`), ...args];
    const child = spawn(command[0] ?? '', command.slice(1), {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      detached: true,
      ...user,
    });
    running.add(child);
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return {
      pid: child.pid ?? 0,
      async said() {
        const { value, done } = await lines.next();
        if (done) throw new Error(`${script} ended: ${stderr}`);
        return JSON.parse(value) as Record<string, unknown>;
      },
      tell: (line) => void child.stdin.write(`${line}\n`),
      exit: new Promise((done) =>
        child.once('exit', (code, signal) => {
          running.delete(child);
          done({ code, signal });
        }),
      ),
    };
  };
}
