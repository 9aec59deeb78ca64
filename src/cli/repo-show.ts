import { command } from './command.js';
import { exitCodes } from './errors.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { repoNamed, repoText } from './repo-text.js';
import { urlFlag, withClient } from './server-access.js';

export const repoShowCommand = command({
  positionals: ['[ID|PATH]'],
  flags: { json: jsonFlag, url: urlFlag },
  about: 'PATH may be below its root, or in a work tree of it; without an argument it is the current directory.',
  run: ({ url, json }, [named = '.']) =>
    withClient(url, async (client) => {
      const repo = await repoNamed(client, named);
      stdout.line(json ? JSON.stringify(repo) : repoText(repo, stdout));
      return exitCodes.ok;
    }),
});
