import { lchown, mkdtemp, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { AppError, codeOf, messageOf } from '../../errors.js';
import type { PostgresBinaries } from './embedded-binaries.js';
import { giveTo, runToEnd, type Launcher, type Owner } from './embedded-launcher.js';

/** The superuser of the cluster. Muster itself connects as an ordinary role and needs this one to make that role. */
export const superuser = 'postgres';

/** What lies where the cluster belongs. */
export type ClusterState =
  | { readonly state: 'absent' }
  /** `major` as in its PG_VERSION. */
  | { readonly state: 'present'; readonly owner: Owner; readonly major: string };

/**
 * Reads only.
 * @throws AppError `unavailable` for somebody else's cluster, and for a directory that holds something else.
 */
export async function inspectCluster(dir: string): Promise<ClusterState> {
  let owner: Owner;
  try {
    const { uid, gid } = await stat(dir);
    owner = { uid, gid };
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { state: 'absent' };
    throw new AppError('unavailable', `Cannot look at the cluster of Postgres: ${messageOf(error)}`, { cause: error });
  }
  const self = process.geteuid?.();
  if (self !== 0 && owner.uid !== self) {
    const message = `${dir} belongs to user ${owner.uid}, and Muster runs as user ${self}. Start it as that user.`;
    throw new AppError('unavailable', message);
  }
  if ((await readdir(dir)).length === 0) return { state: 'absent' };
  const major = (await readFile(join(dir, 'PG_VERSION'), 'utf8').catch(() => '')).trim();
  if (major === '') {
    const message = `${dir} is no cluster of Postgres (it has no PG_VERSION) and not empty. Move it away.`;
    throw new AppError('unavailable', message);
  }
  return { state: 'present', owner, major };
}

/**
 * Refuses a cluster of another major version, which Postgres cannot read, before anything is touched.
 * @throws AppError `unavailable` that says how to move the data.
 */
export function requireSameMajor(dir: string, clusterMajor: string, version: string): void {
  const ours = /^\d+/.exec(version)?.[0];
  if (clusterMajor === ours) return;
  const message = [
    `The cluster ${dir} was made by PostgreSQL ${clusterMajor}; this Muster carries PostgreSQL ${version}.`,
    'Nothing was changed. To keep the data, either start the Muster that made it, or move the data:',
    `(1) start PostgreSQL ${clusterMajor} on it: postgres -D '${dir}' -k '${dir}' -c listen_addresses='' ;`,
    `(2) pg_dump -h '${dir}' -U ${superuser} -Fc muster > muster.dump ; (3) stop it and move ${dir} away;`,
    '(4) start this Muster once and stop it, or take any PostgreSQL and name it by DATABASE_URL;',
    '(5) pg_restore --clean --if-exists -d muster muster.dump into that one.',
  ].join(' ');
  throw new AppError('unavailable', message, { details: { cluster: clusterMajor, embedded: version } });
}

/**
 * Makes the cluster in a directory beside its place and moves it there when it is whole and on disk, so that a crash
 * or a full disk on the way leaves nothing that a later start would take for a cluster.
 * @throws AppError `unavailable` with the words of initdb.
 */
export async function createCluster(dir: string, binaries: PostgresBinaries, launcher: Launcher): Promise<void> {
  const parent = dirname(dir);
  const draft = await mkdtemp(join(parent, 'postgres.init-'));
  try {
    await giveTo(launcher.owner, draft);
    // The builtin provider sorts by code point and knows Unicode's letters, without the system's locales: no index
    // depends on the version of a C library.
    const made = await runToEnd(launcher, binaries.initdb, [
      `--pgdata=${draft}`,
      `--username=${superuser}`,
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--auth-local=trust',
      '--auth-host=reject',
      '--no-instructions',
    ]);
    if (!made.ok) {
      const words = made.output.split('\n').slice(-6).join(' | ');
      throw new AppError('unavailable', `Postgres could not make its cluster in ${parent} (initdb): ${words}`);
    }
    await rename(draft, dir);
    const handle = await open(parent);
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    await rm(draft, { recursive: true, force: true }).catch(() => undefined);
    throw error;
  }
}

/** Removes what interrupted attempts of createCluster left. */
export async function removeDrafts(dir: string): Promise<void> {
  const parent = dirname(dir);
  for (const name of await readdir(parent)) {
    if (!name.startsWith('postgres.init-')) continue;
    // Best effort: an initdb that outlived its server by a moment may still be writing there.
    const retries = { maxRetries: 5, retryDelay: 20 };
    await rm(join(parent, name), { recursive: true, force: true, ...retries }).catch(() => undefined);
  }
}

/** Gives the whole cluster to its user: one that was copied back by root belongs to root. */
export async function takeOver(dir: string, owner: Owner): Promise<void> {
  for (const entry of await readdir(dir, { recursive: true })) await lchown(join(dir, entry), owner.uid, owner.gid);
  // Last, since it is what tells the next start whether this was done.
  await giveTo(owner, dir);
}

/**
 * Writes who may connect, and returns the settings that name the files. The cluster's own pg_hba.conf is left to those
 * who start it by hand.
 *
 * Without root, whoever can open the socket is the user who runs all this. With root, Postgres runs as a user that
 * other programs may share (nobody), and those could open it too; so the kernel is asked who is calling.
 */
export async function writeAccessRules(dir: string, owner: Owner | undefined): Promise<Record<string, string>> {
  const rule = owner === undefined ? 'trust' : 'peer map=muster';
  const files = {
    hba_file: { path: join(dir, 'muster_hba.conf'), text: `local all all ${rule}\n` },
    ident_file: { path: join(dir, 'muster_ident.conf'), text: owner ? `muster "${userInfo().username}" all\n` : '' },
  };
  for (const { path, text } of Object.values(files)) {
    await writeFile(path, `# Written by Muster at every start.\n${text}`, { mode: 0o600 });
    await giveTo(owner, path);
  }
  return { hba_file: files.hba_file.path, ident_file: files.ident_file.path };
}
