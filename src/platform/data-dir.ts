import { createHash } from 'node:crypto';
import { mkdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { AppError, codeOf, messageOf } from '../errors.js';
import type { Log } from './log.js';

export interface DataDirLock {
  /** Gives the directory up. Idempotent. */
  release(): Promise<void>;
}

/** Bytes of a Unix socket's path that every system takes (macOS: 103; Linux: 107). */
export const maxSocketPath = 103;

/**
 * Creates the directory (mode 0700) if it is missing and takes it for this process alone, until `release()` or the
 * process's death, kill -9 included. A symbolic link, a relative path or a bind mount of it is the same directory.
 * The lock does not keep the process alive.
 *
 * The kernel holds the lock in the form of listening sockets. The first has a name and no file, so that taking it is
 * one atomic step; but such names end at the border of a network namespace, and two containers can mount one volume.
 * The second is a file in the directory, which crosses that border.
 *
 * @throws AppError `conflict` with the holder's pid, `unavailable` where the directory cannot be made or written.
 */
export async function lockDataDir(dir: string, log: Log): Promise<DataDirLock> {
  const home = await makeDirectory(resolve(dir), log);
  const pidFile = join(home, 'server.pid');
  const held: Server[] = [];
  const giveUp = async (): Promise<void> => {
    for (const server of held.splice(0).toReversed()) await close(server);
  };
  try {
    const id = await identityOf(home);
    const name = kernelName(id);
    if (name !== undefined) held.push(await listen(name));
    const file = socketFile(home, id);
    if (file !== undefined) {
      try {
        held.push(await listenOnFile(file));
      } catch (error) {
        // Shared folders of virtual machines often cannot hold a socket file. The kernel's name is lock enough then.
        if (name === undefined || codeOf(error) === 'EADDRINUSE') throw error;
        log.warn('data_dir_socket_refused', { file, error });
      }
    }
    // Not written over: it may be left of a killed server of another user.
    await rm(pidFile, { force: true });
    await writeFile(pidFile, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    await giveUp();
    if (codeOf(error) === 'EADDRINUSE') throw await heldError(home, pidFile);
    throw new AppError('unavailable', `Cannot lock the data directory ${home}: ${messageOf(error)}`, { cause: error });
  }
  const release = async (): Promise<void> => {
    // First the file, then the lock: the other way round it could be the next holder's pid that is removed.
    await rm(pidFile, { force: true });
    await giveUp();
  };
  let released: Promise<void> | undefined;
  return { release: () => (released ??= release()) };
}

async function makeDirectory(path: string, log: Log): Promise<string> {
  try {
    // Parents get the mode that the umask says; only the data directory itself is private.
    await mkdir(dirname(path), { recursive: true });
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw unusable(path, error);
  }
  try {
    const home = await realpath(path);
    const info = await stat(home);
    if (!info.isDirectory()) throw new Error('it is not a directory');
    if ((info.mode & 0o022) !== 0 && process.platform !== 'win32') {
      log.warn('data_dir_writable_by_others', { dir: home, mode: (info.mode & 0o777).toString(8) });
    }
    return home;
  } catch (error) {
    throw unusable(path, error);
  }
}

function unusable(path: string, error: unknown): AppError {
  const message = `Cannot use ${path} as data directory (MUSTER_DATA_DIR): ${messageOf(error)}`;
  return new AppError('unavailable', message, { cause: error });
}

/** Device and inode: what one directory has in common under all its paths, and two directories never have. */
async function identityOf(home: string): Promise<string> {
  const { dev, ino } = await stat(home, { bigint: true });
  return createHash('sha512').update(`${dev}:${ino}`).digest('hex');
}

function kernelName(id: string): string | undefined {
  // As long as the address can be (108 bytes): some versions of libuv pad shorter names with zero bytes and others do
  // not, and padded or not are two different names.
  if (process.platform === 'linux') return `\0muster-${id.slice(0, 100)}`;
  if (process.platform === 'win32') return `\\\\.\\pipe\\muster-${id}`;
  return undefined;
}

function socketFile(home: string, id: string): string | undefined {
  if (process.platform === 'win32') return undefined;
  const file = join(home, 'server.sock');
  if (Buffer.byteLength(file) <= maxSocketPath) return file;
  return process.platform === 'linux' ? undefined : join(tmpdir(), `muster-${id.slice(0, 16)}.sock`);
}

/**
 * The file outlives its process, so one that nobody answers at is taken over. Two that do this in the same instant
 * could both succeed; on Linux and Windows the kernel's name has already stopped all of them that share one.
 */
async function listenOnFile(file: string): Promise<Server> {
  if (await answers(file)) throw Object.assign(new Error(`${file} is in use`), { code: 'EADDRINUSE' });
  await rm(file, { force: true });
  return listen(file);
}

function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    // Any other refusal (a full backlog, a missing permission) comes from a socket that somebody has open.
    socket.once('error', (error) => done(!['ENOENT', 'ECONNREFUSED'].includes(codeOf(error) ?? '')));
  });
}

function listen(path: string): Promise<Server> {
  return new Promise((done, fail) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', fail);
    // Exclusive: a worker of node:cluster would otherwise share its parent's socket and call that a lock. A file is
    // open to all who can enter the directory, since who may not connect cannot tell whether somebody listens.
    const open = path.startsWith('/') ? { readableAll: true, writableAll: true } : {};
    server.listen({ path, exclusive: true, ...open }, () => done(server.unref()));
  });
}

function close(server: Server): Promise<void> {
  return new Promise((done) => void server.close(() => done()));
}

async function heldError(home: string, pidFile: string): Promise<AppError> {
  const pid = Number.parseInt(await readFile(pidFile, 'utf8').catch(() => ''), 10);
  const holder = Number.isNaN(pid) ? 'another Muster' : `another Muster (pid ${pid})`;
  const message = `The data directory ${home} is in use by ${holder}. Stop it, or set MUSTER_DATA_DIR to another one.`;
  return new AppError('conflict', message, { details: Number.isNaN(pid) ? { dir: home } : { dir: home, pid } });
}
