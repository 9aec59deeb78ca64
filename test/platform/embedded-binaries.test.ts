import { existsSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findBinaries } from '../../src/platform/db/embedded-binaries.js';
import { copyPackage } from './support/package-copy.js';

let temp = '';
beforeEach(() => {
  temp = realpathSync(mkdtempSync(join(tmpdir(), 'muster-test-')));
});
afterEach(() => rmSync(temp, { recursive: true, force: true }));

describe('findBinaries', () => {
  it('says to set DATABASE_URL where npm installed none', async () => {
    const error: unknown = await findBinaries(join(temp, 'server.js')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('DATABASE_URL') });
  });

  it('says to rebuild the package where a library link is missing and cannot be made', async () => {
    const root = copyPackage(join(temp, 'home'), ['dist', 'package.json', 'native/pg-symlinks.json']);
    const error: unknown = await findBinaries(join(temp, 'home', 'server.js')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('npm rebuild') });
    expect(existsSync(join(root, 'native', 'lib'))).toBe(false);
  });
});
