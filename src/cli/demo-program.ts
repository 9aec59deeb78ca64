// What each job of `muster demo` runs, as a user's program would be written: payload in, result out, exit code.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

interface Payload {
  readonly file: string;
  /** `unsteady` fails on its first attempt; `endless` goes on until it is killed. */
  readonly mood?: 'unsteady' | 'endless';
}

const temporaryFailure = 75;
const dataError = 65;

function fail(message: string, exitCode: number): never {
  process.stderr.write(`${message}\n`);
  process.exit(exitCode);
}

function checksum(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

const { file, mood } = JSON.parse(await text(process.stdin)) as Payload;
if (mood === 'unsteady' && process.env['MUSTER_JOB_ATTEMPT'] === '1') fail('not this time', temporaryFailure);
try {
  while (mood === 'endless') checksum(file);
  const lines = readFileSync(file, 'utf8').split('\n').length - 1;
  process.stdout.write(JSON.stringify({ sha256: checksum(file), lines }));
} catch (error) {
  fail((error as Error).message, dataError);
}
