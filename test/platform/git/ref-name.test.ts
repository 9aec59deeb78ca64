import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isRefName } from '../../../src/platform/git/index.js';

/** What git itself says of the names of branches. */
function gitTakes(name: string): boolean {
  try {
    execFileSync('git', ['check-ref-format', '--branch', name], { cwd: '/', stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const piece = fc.constantFrom(...'ab./-@{~^:?*[\\ \t\u007fé'.split(''), '..', '.lock', '@{', '//', 'HEAD', '💥');

test('what we take for the name of a branch, git does, too', () => {
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
      const name = pieces.join('');
      if (isRefName(name)) expect(gitTakes(name), JSON.stringify(name)).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test.each(['main', 'feature/x', 'a.b', 'v1.0-rc', 'é', 'a@b', 'x{y}'])('%j is one for both', (name) => {
  expect([isRefName(name), gitTakes(name)]).toEqual([true, true]);
});

test.each([
  '',
  '@',
  'HEAD',
  '-x',
  '.a',
  'a/.b',
  'a.lock',
  'a.lock/b',
  'a..b',
  'a b',
  'a~1',
  'a^',
  'a:b',
  'a?',
  'a*',
  'a[',
  'a\\b',
])('%j is none', (name) => {
  expect(isRefName(name)).toBe(false);
});
