import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What the agent is to put right, as it is on `main`: a program, a test that fails, and the gate that runs it. */
const files: Readonly<Record<string, string>> = {
  'sum.mjs': 'export function sum(a, b) {\n  return a - b;\n}\n',
  'test.mjs': `import { sum } from './sum.mjs';

const cases = [[1, 2, 3], [0, 5, 5], [-1, 1, 0]];
let failed = 0;
for (const [a, b, expected] of cases) {
  const is = sum(a, b);
  if (is === expected) console.log(\`ok      sum(\${a}, \${b}) is \${is}\`);
  else console.log(\`not ok  sum(\${a}, \${b}) is \${is}, not \${expected}\`);
  failed += is === expected ? 0 : 1;
}
process.exit(failed === 0 ? 0 : 1);
`,
  '.muster/gates.toml': `# What every task of this repository has to pass before anybody reviews it.
[[gate]]
name = "test"
command = "'${process.execPath}' test.mjs"
timeout_secs = 60
`,
};

const env = {
  PATH: process.env['PATH'],
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'You',
  GIT_AUTHOR_EMAIL: 'you@example.org',
  GIT_COMMITTER_NAME: 'You',
  GIT_COMMITTER_EMAIL: 'you@example.org',
};

/** A repository with a commit on `main`. */
export async function makeRepository(root: string): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), text);
  }
  await git(root, 'init', '--quiet', '--initial-branch=main');
  await git(root, 'add', '--all');
  await git(root, 'commit', '--quiet', '--message=A calculator, and what it must be able to do');
}

/** Runs git as a user would. Answers what it prints, without the last line break. */
export async function git(root: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run('git', args, { cwd: root, env });
  return stdout.trimEnd();
}
