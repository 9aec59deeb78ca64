import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { chown } from 'node:fs/promises';
import { promisify } from 'node:util';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../log.js';
import type { PostgresBinaries } from './embedded-binaries.js';

/** A user and group of the system, by number. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Starts programs of Postgres as the user that Postgres is to run as. */
export interface Launcher {
  /** Whom the cluster's files must belong to; undefined where that is the user of this process. */
  readonly owner: Owner | undefined;
  /**
   * In a session of its own, so that a Ctrl-C at the terminal does not end Postgres under the server that is still
   * finishing. The environment holds no PG* variables, no foreign language, and no secrets of the server.
   */
  launch(file: string, args: readonly string[], stdout?: 'ignore' | 'pipe'): ChildProcess;
}

export interface Finished {
  readonly ok: boolean;
  /** What it wrote to stdout and stderr, or why it could not be started. */
  readonly output: string;
}

/** Runs a program to its end. Never throws for a failure of the program. */
export function runToEnd(launcher: Launcher, file: string, args: readonly string[]): Promise<Finished> {
  return new Promise((done) => {
    let child: ChildProcess;
    try {
      child = launcher.launch(file, args, 'pipe');
    } catch (error) {
      // spawn throws some refusals (EPERM for a uid) and emits others.
      return done({ ok: false, output: messageOf(error) });
    }
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.once('error', (error) => done({ ok: false, output: error.message }));
    child.once('close', (code) => done({ ok: code === 0, output: output.trim() }));
  });
}

/** For every user but root: as this process itself. */
export function createPlainLauncher(owner?: Owner): Launcher {
  return { owner, launch: (file, args, stdout) => start(file, args, stdout, owner) };
}

/**
 * For root, as which Postgres refuses to run: as `owner`.
 *
 * Where that user cannot enter a directory on the way to the programs or to `places` (a checkout in /root; a data
 * directory of mode 0700), it is given one capability on its way: to pass directories, or where the programs
 * themselves are not open to it, to pass over file modes altogether. `setpriv` of util-linux does that; ambient, as
 * the programs start each other, and with the securebit that makes access(2), by which they look for each other,
 * heed capabilities. Nothing is copied and no mode is changed. Which way works is found by trying, since containers
 * and access lists make it hard to foretell.
 *
 * @throws AppError `unavailable` saying what to do where no way works.
 */
export async function chooseRootLauncher(
  owner: Owner,
  binaries: PostgresBinaries,
  places: readonly string[],
  log: Log,
): Promise<Launcher> {
  const refusals: string[] = [];
  for (const capability of [undefined, 'dac_read_search', 'dac_override']) {
    const launcher = capability === undefined ? createPlainLauncher(owner) : createCapableLauncher(owner, capability);
    const script = 'for place in "$@"; do cd "$place" || exit 1; done; exec "$0" --show -D "$place"';
    const tried = await runToEnd(launcher, '/bin/sh', ['-c', script, binaries.initdb, ...places]);
    if (tried.ok) {
      log.debug('postgres_user', { ...owner, capability: capability ?? 'none' });
      return launcher;
    }
    refusals.push(`${capability ?? 'plain'}: ${tried.output}`);
  }
  const reason = `as that user it cannot reach its programs (${binaries.postgres}) or the data directory`;
  throw noStandIn(owner, `${reason} (${refusals.join('; ')})`);
}

/** Gives a file to the user that Postgres runs as. Throws AppError `unavailable` where that is not allowed. */
export async function giveTo(owner: Owner | undefined, path: string): Promise<void> {
  if (owner === undefined) return;
  try {
    await chown(path, owner.uid, owner.gid);
  } catch (error) {
    throw noStandIn(owner, messageOf(error), error);
  }
}

function noStandIn(owner: Owner, reason: string, cause?: unknown): AppError {
  const message =
    `Postgres refuses to run as root, and running it as user ${owner.uid} fails: ${reason}. Start Muster as another ` +
    'user than root, or keep Muster and its data directory (MUSTER_DATA_DIR) where every user may enter, or set ' +
    'DATABASE_URL to a Postgres 15 or later.';
  return new AppError('unavailable', message, { cause });
}

/** The user `postgres`, or else `nobody`: whom root lets Postgres run as. */
export async function findStandIn(): Promise<Owner> {
  try {
    return { uid: await idOfPostgres('-u'), gid: await idOfPostgres('-g') };
  } catch {
    return { uid: 65534, gid: 65534 };
  }
}

async function idOfPostgres(flag: '-u' | '-g'): Promise<number> {
  const { stdout } = await promisify(execFile)('id', [flag, 'postgres']);
  return Number.parseInt(stdout, 10);
}

function createCapableLauncher(owner: Owner, capability: string): Launcher {
  const flags = [
    `--reuid=${owner.uid}`,
    `--regid=${owner.gid}`,
    '--clear-groups',
    `--inh-caps=+${capability}`,
    `--ambient-caps=+${capability}`,
    '--securebits=+no_setuid_fixup',
    '--',
  ];
  return { owner, launch: (file, args, stdout) => start('setpriv', [...flags, file, ...args], stdout) };
}

function start(
  file: string,
  args: readonly string[],
  stdout: 'ignore' | 'pipe' = 'ignore',
  owner?: Owner,
): ChildProcess {
  // Given a uid, spawn leaves all supplementary groups as well.
  return spawn(file, args, {
    cwd: '/',
    detached: true,
    env: environment(),
    stdio: ['ignore', stdout, 'pipe'],
    ...owner,
  });
}

function environment(): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {
    PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    LC_ALL: 'C',
    TZ: 'UTC',
  };
  // How NixOS runs programs that were built elsewhere.
  for (const name of ['NIX_LD', 'NIX_LD_LIBRARY_PATH']) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/** The version of the programs, such as `18.4`. Throws AppError `unavailable` where they cannot run on this system. */
export async function versionOf(binaries: PostgresBinaries): Promise<string> {
  const shown = await runToEnd(createPlainLauncher(), binaries.postgres, ['-V']);
  const version = /\(PostgreSQL\) (\S+)/.exec(shown.output)?.[1];
  if (shown.ok && version !== undefined) return version;
  const message =
    `The embedded Postgres (${binaries.postgres}) does not run on this system: ${shown.output}. ` +
    'Its programs need the GNU C library. Set DATABASE_URL to a Postgres 15 or later.';
  throw new AppError('unavailable', message);
}
