import type { ChunkedMap } from './chunked-map.js';
import type { LedgerEvent } from './event-json.js';
import { told } from './told.js';

/** A repository as REST prints it. What no event has told is undefined: of one that was registered before the first event that was reduced. */
export interface RepoRow {
  readonly id: string;
  readonly path: string | undefined;
  readonly name: string | undefined;
  readonly vcs_type: 'Git' | undefined;
  readonly default_branch: string | undefined;
  readonly created_at: string | undefined;
  readonly updated_at: string | undefined;
}

type Repos = ChunkedMap<RepoRow>;

/** The repositories after one more event. Others than those of repositories leave them as they are. */
export function reposAfter(repos: Repos, event: LedgerEvent): Repos {
  const { type, repo_id: id } = event;
  if (id === null) return repos;
  switch (type) {
    case 'RepoRegistered':
    case 'RepoUpdated':
      return repos.with(id, { ...(repos.get(id) ?? unknown), ...told<RepoRow>(event, fields), id });
    case 'RepoUnregistered':
      return repos.without(id);
    default:
      return repos;
  }
}

const unknown: Omit<RepoRow, 'id'> = {
  path: undefined,
  name: undefined,
  vcs_type: undefined,
  default_branch: undefined,
  created_at: undefined,
  updated_at: undefined,
};
const fields = Object.keys(unknown);
