// Makes a checkout ready, and says what it does: installs what the lockfile asks for when it is not there, and with
// --build compiles what has changed. Runs before `npm start` and `npm test`, so it may use nothing but Node itself.
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const least = [20, 19];

function fail(message) {
  process.stderr.write(`muster: ${message}\n`);
  process.exit(1);
}

function run(what, command, args) {
  process.stderr.write(`muster: ${what}\n`);
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) fail(`'${[command, ...args].join(' ')}' failed${error ? `: ${error.message}` : ''}`);
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < least[0] || (major === least[0] && minor < least[1])) {
  fail(`Node ${least.join('.')} or later is needed; this is ${process.versions.node}.`);
}

// What is installed is told by a stamp, since npm's own record does not say which lockfile it came from.
const stamp = path.join(root, 'node_modules', '.muster-installed');
const wanted = createHash('sha256')
  .update(readFileSync(path.join(root, 'package-lock.json')))
  .digest('hex');
const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : '';
if (installed !== wanted) {
  run('installing dependencies (npm ci) ...', 'npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
  writeFileSync(stamp, wanted);
}

if (process.argv.includes('--build')) {
  const main = path.join(root, 'dist', 'src', 'main.js');
  // tsc trusts its record of what it wrote, even when the files have gone.
  if (!existsSync(main)) rmSync(path.join(root, 'dist', '.tsbuildinfo'), { force: true });
  run('compiling ...', process.execPath, [path.join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', root]);
  // npm makes a program executable once, when it links it; one that was compiled anew after that would not be.
  chmodSync(main, 0o755);
}
