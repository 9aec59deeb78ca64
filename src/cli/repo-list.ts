import { command } from './command.js';
import { exitCodes } from './errors.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { repoTable, type ShownRepo, shownRepo } from './repo-text.js';
import { urlFlag, withClient } from './server-access.js';

const pageSize = 500;

export const repoListCommand = command({
  flags: { json: jsonFlag, url: urlFlag },
  about: '',
  run: ({ url, json }) =>
    withClient(url, async (client) => {
      const repos: ShownRepo[] = [];
      let cursor: string | undefined;
      do {
        const page = await client.repos.listRepos({ limit: pageSize, ...(cursor !== undefined && { cursor }) });
        repos.push(...page.repos.map(shownRepo));
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      if (json) stdout.line(JSON.stringify(repos));
      else if (repos.length === 0) stdout.line('There are no repositories; see muster help repo register.');
      else for (const line of repoTable(repos, stdout)) stdout.line(line);
      return exitCodes.ok;
    }),
});
