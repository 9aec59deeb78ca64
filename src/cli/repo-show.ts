import { command } from './command.js';
import { exitCodes } from './errors.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { repoNamed, repoText } from './repo-text.js';
import { urlFlag, withClient } from './server-access.js';

export const repoShowCommand = command({
  positionals: ['[ID|PATH]'],
  flags: { json: jsonFlag, url: urlFlag },
  about: 'Without an argument, the repository of the current directory is meant.',
  run: ({ url, json }, [named = '.']) =>
    withClient(url, async (client) => {
      const repo = await repoNamed(client, named);
      stdout.line(json ? JSON.stringify(repo) : repoText(repo, stdout));
      return exitCodes.ok;
    }),
});
