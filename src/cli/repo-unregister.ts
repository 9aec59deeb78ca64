import { command } from './command.js';
import { exitCodes } from './errors.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { repoNamed } from './repo-text.js';
import { urlFlag, withClient } from './server-access.js';

export const repoUnregisterCommand = command({
  positionals: ['ID|PATH'],
  flags: { json: jsonFlag, url: urlFlag },
  about:
    'PATH is the root of its work tree. Refused while the repository has tasks, which can be deleted also when its folder is gone.',
  run: ({ url, json }, [named = '']) =>
    withClient(url, async (client) => {
      const { id } = await repoNamed(client, named, { isRoot: true });
      const { ok } = await client.repos.unregisterRepo({ id });
      stdout.line(json ? JSON.stringify({ ok }) : `${id} is unregistered`);
      return exitCodes.ok;
    }),
});
