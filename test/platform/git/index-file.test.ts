import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { forkIndex } from '../../../src/platform/git/index-file.js';

const memory = '/dev/shm';

/** A folder that is gone when the test has finished. */
function folderIn(parent: string): string {
  const folder = mkdtempSync(path.join(parent, 'muster-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Whether there is another file system at hand than that of temporary files. */
function hasOther(): boolean {
  const [here, there] = [tmpdir(), memory].map((place) => statSync(place, { throwIfNoEntry: false })?.dev);
  return there !== undefined && here !== there;
}

async function goesOn(parent: string): Promise<void> {
  const [from, to] = [path.join(folderIn(tmpdir()), 'index'), path.join(folderIn(parent), 'index')];
  writeFileSync(from, 'first');
  const age = new Date('2026-01-01T00:00:00.500Z');
  utimesSync(from, age, age);
  await forkIndex(from, to);
  expect(readFileSync(to, 'utf8')).toBe('first');
  // Never younger, and within the same second.
  const { mtimeMs } = statSync(to);
  expect(mtimeMs).toBeLessThanOrEqual(age.getTime());
  expect(mtimeMs).toBeGreaterThan(age.getTime() - 10);
  // As git writes one.
  writeFileSync(`${to}.lock`, 'second');
  renameSync(`${to}.lock`, to);
  expect(readFileSync(from, 'utf8')).toBe('first');
}

test('an index is gone on with, and stays as it is', () => goesOn(tmpdir()));

test.runIf(hasOther())('the same on another file system, where it keeps its age', () => goesOn(memory));

test('an index that is not there is missed', async () => {
  const folder = folderIn(tmpdir());
  await expect(forkIndex(path.join(folder, 'index'), path.join(folder, 'fork'))).rejects.toMatchObject({
    code: 'ENOENT',
  });
});
