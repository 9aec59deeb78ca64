import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes, UsageError } from './errors.js';
import { optional } from './flags.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { repoNamed, shownRepo } from './repo-text.js';
import { urlFlag, withClient } from './server-access.js';

export const repoSetCommand = command({
  positionals: ['[ID|PATH]'],
  flags: {
    defaultBranch: optional({
      flag: 'default-branch',
      value: 'BRANCH',
      help: 'Where tasks begin from now on, and where .muster/gates.toml is read.',
      parse: parse.text,
    }),
    json: jsonFlag,
    url: urlFlag,
  },
  about:
    'Changes what is given, and nothing else. Without an argument, the repository of the current directory is meant.',
  run({ url, json, defaultBranch }, [named = '.']) {
    if (defaultBranch === undefined) throw new UsageError('nothing is to be changed; give a flag that says what');
    return withClient(url, async (client) => {
      const { id } = await repoNamed(client, named);
      const repo = shownRepo((await client.repos.updateRepo({ id, defaultBranch })).repo);
      stdout.line(json ? JSON.stringify(repo) : `${repo.id} is changed`);
      return exitCodes.ok;
    });
  },
});
