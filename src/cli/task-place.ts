import type { MusterClient } from '../client/index.js';
import { CommandError, exitCodes, UsageError } from './errors.js';
import { placeOf } from './place.js';
import { repoNamed } from './repo-text.js';

/** The task that is named, or that the current directory is the worktree of. Throws UsageError. */
export function taskHere(id: string | undefined): string {
  const found = id ?? placeOf(process.cwd())?.taskId;
  if (found === undefined) throw new UsageError('which task? Name its id, or go to its worktree');
  return found;
}

/** The repository that is named, by its id or a path, or that the current directory is in. Throws CommandError. */
export async function repoHere(client: MusterClient, named: string | undefined): Promise<string> {
  if (named !== undefined) return (await repoNamed(client, named)).id;
  const place = placeOf(process.cwd());
  if (place === undefined) {
    throw new UsageError('which repository? Name it with --repo, or go to it');
  }
  const { repo } = await client.repos.getRepoByPath({ path: place.root });
  if (repo === undefined) {
    throw new CommandError(`not_found: ${place.root} is not registered; see muster repo register`, exitCodes.failed);
  }
  return repo.id;
}
