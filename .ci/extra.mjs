// `npm run test:extra`: the tests that need programs from outside npm. Installs none of them; says which are missing, and
// with --check does nothing else. Run by CI, too, so it may use nothing but Node before setup.mjs has run.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
// Debian keeps pgbouncer where only root looks.
const env = { ...process.env, PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin` };

/** `least`: the oldest version that will do, by its first two numbers. */
const programs = [
  { name: 'pgbouncer', version: /PgBouncer (\d+)\.(\d+)/, least: [1, 21] },
  { name: 'chromium', version: /Chromium (\d+)\.(\d+)/, least: [112, 0] },
];

/** What is wrong with a program, in words; undefined when it will do. */
function lackOf({ name, version, least }) {
  const { stdout, error } = spawnSync(name, ['--version'], {
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const wanted = `test:extra needs ${name} ${least.join('.')} or later`;
  if (error !== undefined) return `${wanted}: apt-get install ${name}`;
  const [, major, minor] = (version.exec(stdout) ?? []).map(Number);
  if (major > least[0] || (major === least[0] && minor >= least[1])) return undefined;
  return `${wanted}; this is ${stdout.split('\n')[0]}`;
}

const lacks = programs.map(lackOf).filter((lack) => lack !== undefined);
for (const lack of lacks) process.stdout.write(`${lack}\n`);
if (lacks.length > 0) {
  if (!process.argv.includes('--check'))
    process.stdout.write('On Debian, .ci/install-extra installs them (as root).\n');
  process.exit(1);
}
if (process.argv.includes('--check')) process.exit(0);

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', env });
  return status ?? 1;
}

const scratch = mkdtempSync(path.join(tmpdir(), 'muster-extra-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const report = path.join(scratch, 'vitest.json');
const vitest = path.join(root, 'node_modules', '.bin', 'vitest');
const config = ['--config', 'vitest.extra.config.ts'];
const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];

const status =
  run(process.execPath, ['.ci/setup.mjs']) || run(vitest, ['run', ...config, ...reporters, ...process.argv.slice(2)]);
if (status !== 0) process.exit(status);
const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'));
process.stdout.write(`\nextra: ${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped\n`);
