import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * The version in Muster's package.json. Throws when there is none above this file.
 *
 * The file is looked for upwards, since it is at another distance from the sources than from what is compiled of them;
 * by its name, since a package.json of somebody else may lie in between.
 */
export function readVersion(): string {
  const here = path.dirname(fileURLToPath(import.meta.url));
  for (let folder = here; ; folder = path.dirname(folder)) {
    const file = path.join(folder, 'package.json');
    if (existsSync(file)) {
      const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown; version?: unknown };
      if (name === 'muster' && typeof version === 'string') return version;
    }
    if (folder === path.dirname(folder)) throw new Error(`no package.json of muster above ${here}`);
  }
}
