// `npm test`: every check there is, cheapest first; stops at the first that fails.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const bin = (name) => path.join(root, 'node_modules', '.bin', name);
const scratch = mkdtempSync(path.join(tmpdir(), 'muster-check-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));

function run(what, command, args, options = {}) {
  const began = Date.now();
  process.stdout.write(`\n== ${what}\n`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (status !== 0) {
    process.stdout.write(`\nmuster: '${what}' failed.\n`);
    process.exit(1);
  }
  process.stdout.write(`   ok, ${((Date.now() - began) / 1000).toFixed(1)} s\n`);
}

/** The newest release tag that this commit contains, if any. */
function lastRelease() {
  const { status, stdout } = spawnSync('git', ['describe', '--tags', '--abbrev=0', '--match', 'v*'], {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout.trim() : undefined;
}

run('buf lint', bin('buf'), ['lint']);
const release = lastRelease();
if (release === undefined) process.stdout.write('\n== buf breaking: no release tag yet\n');
else
  run(`buf breaking against ${release}`, bin('buf'), [
    'breaking',
    'proto',
    '--against',
    `.git#tag=${release},subdir=proto`,
  ]);

run('generate into a scratch folder', bin('buf'), ['generate', '-o', scratch]);
run('generated code is current', 'git', [
  'diff',
  '--no-index',
  '--exit-code',
  '--stat',
  path.join(scratch, 'gen'),
  'gen',
]);
run('format', bin('prettier'), ['--check', '--log-level', 'warn', '.']);
run('format of proto', bin('buf'), ['format', 'proto', '--diff', '--exit-code']);
run('lint', bin('oxlint'), ['--type-aware', '--quiet']);
run('types', bin('tsc'), ['-p', 'tsconfig.check.json']);
run('build', process.execPath, ['.ci/setup.mjs', '--build']);

const report = path.join(scratch, 'vitest.json');
run('tests', bin('vitest'), ['run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`]);
const { numPassedTests, numFailedTests, numPendingTests } = JSON.parse(readFileSync(report, 'utf8'));
process.stdout.write(`\ntests: ${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests} skipped\n`);
