import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppError } from '../../src/errors.js';
import { lockDataDir } from '../../src/platform/data-dir.js';
import { useChildren } from './support/children.js';
import { createRecordingLog } from './support/recording-log.js';

const spawnChild = useChildren();
const log = createRecordingLog();
let temp = '';
beforeEach(() => (temp = realpathSync(mkdtempSync(join(tmpdir(), 'muster-test-')))));
afterEach(() => rmSync(temp, { recursive: true, force: true }));

const refusal = (dir: string): Promise<unknown> =>
  lockDataDir(dir, log).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('lockDataDir', { timeout: 30_000 }, () => {
  it('refuses a directory that another process holds, and names that process', async () => {
    const child = spawnChild('data-dir-child', { args: [temp] });
    expect(await child.said()).toEqual({ locked: true });
    const error = await refusal(temp);
    expect(error).toBeInstanceOf(AppError);
    expect(error).toMatchObject({ kind: 'conflict', details: { dir: temp, pid: child.pid } });
    expect(String(error)).toContain(`pid ${child.pid}`);
  });

  it('refuses a second lock in one process until the first is released', async () => {
    const dir = join(temp, 'a', 'b');
    const lock = await lockDataDir(dir, log);
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    expect(readFileSync(join(dir, 'server.pid'), 'utf8')).toBe(`${process.pid}\n`);
    expect(await refusal(dir)).toMatchObject({ kind: 'conflict', details: { pid: process.pid } });
    await lock.release();
    await lock.release();
    expect(existsSync(join(dir, 'server.pid'))).toBe(false);
    await (await lockDataDir(dir, log)).release();
  });

  it('is free at once when its holder is killed', async () => {
    const child = spawnChild('data-dir-child', { args: [temp] });
    await child.said();
    process.kill(child.pid, 'SIGKILL');
    await child.exit;
    const lock = await lockDataDir(temp, log);
    expect(readFileSync(join(temp, 'server.pid'), 'utf8')).toBe(`${process.pid}\n`);
    await lock.release();
  });

  it('knows a directory under all its names, and no other', async () => {
    const dir = join(temp, 'data');
    const link = join(temp, 'link');
    mkdirSync(dir);
    symlinkSync(dir, link);
    const lock = await lockDataDir(link, log);
    for (const name of [dir, `${dir}/`, relative(process.cwd(), dir), join(link, '..', 'data')]) {
      expect(await refusal(name), name).toMatchObject({ kind: 'conflict' });
    }
    await (await lockDataDir(join(temp, 'other'), log)).release();
    await lock.release();
  });

  it('lets one of several win that start together', async () => {
    const children = [1, 2, 3, 4].map(() => spawnChild('data-dir-child', { args: [temp] }));
    const said = await Promise.all(children.map((child) => child.said()));
    expect(said.filter(({ locked }) => locked)).toHaveLength(1);
  });

  it.skipIf(!canUnshareNetwork())('holds across network namespaces, as between two containers', async () => {
    const under = ['unshare', '--net'];
    const child = spawnChild('data-dir-child', { args: [temp], under });
    expect(await child.said()).toEqual({ locked: true });
    expect(await refusal(temp)).toMatchObject({ kind: 'conflict' });
    process.kill(child.pid, 'SIGKILL');
    await child.exit;
    const lock = await lockDataDir(temp, log);
    expect(await spawnChild('data-dir-child', { args: [temp], under }).said()).toMatchObject({ locked: false });
    await lock.release();
  });

  it('does not keep its process alive', async () => {
    const child = spawnChild('data-dir-child', { args: [temp, 'fall'] });
    expect(await child.exit).toEqual({ code: 0, signal: null });
  });

  it.each(['mit Leerzeichen, "Zitat" und Ünïcødé 雪', 'long'.repeat(50)])('takes the name %s', async (name) => {
    const dir = join(temp, name);
    const lock = await lockDataDir(dir, log);
    expect(await spawnChild('data-dir-child', { args: [dir] }).said()).toMatchObject({ locked: false });
    await lock.release();
  });

  it('refuses a file, and says which setting names it', async () => {
    const file = join(temp, 'file');
    writeFileSync(file, '');
    expect(await refusal(file)).toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('MUSTER_DATA_DIR'),
    });
    expect(await refusal(join(file, 'below'))).toMatchObject({ kind: 'unavailable' });
  });

  it('warns of a directory that others may write', async () => {
    const dir = join(temp, 'open');
    mkdirSync(dir);
    execFileSync('chmod', ['777', dir]);
    const own = createRecordingLog();
    await (await lockDataDir(dir, own)).release();
    expect(own.lines).toContainEqual(expect.objectContaining({ level: 'warn', event: 'data_dir_writable_by_others' }));
  });
});

function canUnshareNetwork(): boolean {
  try {
    execFileSync('unshare', ['--net', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
