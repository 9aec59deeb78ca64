// Asks the registry whether anything is known against the packages that Muster needs to run, and fails if so. Not every
// registry answers that (mirrors often do not), which is said and is no failure. A part of .ci/run rather than of `npm test`:
// that works without a network, and what it says of a commit stays true.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
// The lockfile is what is asked about, installed or not.
const args = ['audit', '--omit=dev', '--package-lock-only', '--json', '--fetch-timeout=30000'];

function say(text) {
  process.stdout.write(`${text}\n`);
}

/** What npm says, or undefined when that is no JSON. */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The known faults themselves, a line each; npm lists besides what depends on the packages that have them. */
function findings({ vulnerabilities }) {
  const faults = Object.values(vulnerabilities)
    .flatMap(({ via }) => via)
    .filter((each) => typeof each === 'object');
  return [
    ...new Set(
      faults.map(({ severity, name, range, title, url }) => `${severity}: ${name} ${range}: ${title} (${url})`),
    ),
  ];
}

/** Whether this is npm's report, and not what it made of an answer that was none. */
function isReport(value) {
  return (
    value?.auditReportVersion !== undefined &&
    typeof value.vulnerabilities === 'object' &&
    typeof value.metadata?.vulnerabilities?.total === 'number'
  );
}

/** What npm says went wrong, in a line. */
function reasonOf({ stdout, stderr, error, status, signal }) {
  const report = read(stdout ?? '');
  const text = report?.message ?? report?.error?.summary ?? error?.message ?? `${stderr}`.replaceAll('npm error ', '');
  const [line] = `${text}`.split('\n').filter((each) => each.trim() !== '');
  return line ?? `npm ended with ${signal ?? status}, without a word`;
}

/** Faults of this tree, about which no registry has been asked. */
const ownFaults = ['ENOLOCK', 'EUSAGE', 'ENOENT', 'EJSONPARSE'];

say('\n== audit of what runs in production');
const run = spawnSync('npm', args, { cwd: root, encoding: 'utf8' });
const report = read(run.stdout ?? '');
if (isReport(report)) {
  const found = findings(report);
  for (const line of found) say(line);
  if (report.metadata.vulnerabilities.total > 0) process.exit(1);
  say(`   ok, nothing is known against ${report.metadata.dependencies?.prod ?? 'the'} packages`);
} else if (run.error !== undefined || ownFaults.includes(report?.error?.code)) {
  say(reasonOf(run));
  process.exit(1);
} else {
  // It answers nothing, something else, or what makes npm crash: an audit there was not, and this tree has no part in that.
  say(`   SKIPPED: the registry answers no audit (${reasonOf(run)})`);
}
