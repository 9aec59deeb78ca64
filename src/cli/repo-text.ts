import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { type MusterClient, type Repo, RepoSchema } from '../client/index.js';
import { CommandError, exitCodes } from './errors.js';
import { restShape } from './job-json.js';
import { alignColumns, type Output, printable } from './output.js';
import { placeOf } from './place.js';

/** A repository in the documented words, as REST has it. */
export interface ShownRepo {
  readonly id: string;
  readonly path: string;
  readonly name: string;
  readonly vcs_type: string;
  readonly default_branch: string;
  readonly created_at: string;
  readonly updated_at: string;
}

export function shownRepo(repo: Repo | undefined): ShownRepo {
  if (repo === undefined) throw new Error('the server answered without a repository');
  return restShape(RepoSchema, repo) as unknown as ShownRepo;
}

/**
 * The repository that an argument names: by its id, or by a path from here, of its root or, unless `isRoot`, of what is in a work tree
 * of it. Throws CommandError when there is none.
 */
export async function repoNamed(
  client: MusterClient,
  text: string,
  { isRoot = false }: { readonly isRoot?: boolean } = {},
): Promise<ShownRepo> {
  if (/^repo_\w+$/.test(text)) return shownRepo((await client.repos.getRepo({ id: text })).repo);
  const named = path.resolve(text);
  const { repo } = await client.repos.getRepoByPath({ path: named });
  const found = repo ?? (isRoot ? undefined : await repoAround(client, named));
  if (found === undefined) {
    throw new CommandError(`not_found: ${named} is not registered; see muster repo list`, exitCodes.failed);
  }
  return shownRepo(found);
}

/** Of a place that is there: a slip in a name must not lead to the repository that is around what was meant. */
async function repoAround(client: MusterClient, named: string): Promise<Repo | undefined> {
  const place = existsSync(named) ? placeOf(realpathSync(named)) : undefined;
  return place === undefined ? undefined : (await client.repos.getRepoByPath({ path: place.root })).repo;
}

/** All there is to know of a repository, a line a field. */
export function repoText(repo: ShownRepo, { style }: Output): string {
  const width = Math.max(...Object.keys(repo).map(({ length }) => length)) + 2;
  return Object.entries(repo)
    .map(([name, value]) => style.dim(name.padEnd(width)) + printable(String(value)))
    .join('\n');
}

/** Lines of a table, its head first. */
export function repoTable(repos: readonly ShownRepo[], { style }: Output): string[] {
  const head = ['ID', 'NAME', 'BRANCH', 'PATH'];
  return alignColumns([
    head.map((name) => style.dim(name)),
    ...repos.map((repo) => [repo.id, printable(repo.name), printable(repo.default_branch), printable(repo.path)]),
  ]);
}
