import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readVersion } from '../../src/platform/version.js';

test('the version is that of package.json', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(readVersion()).toBe(version);
});
