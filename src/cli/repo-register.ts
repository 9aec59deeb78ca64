import path from 'node:path';
import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional } from './flags.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { repoText, shownRepo } from './repo-text.js';
import { urlFlag, withClient } from './server-access.js';

export const repoRegisterCommand = command({
  positionals: ['[PATH]'],
  flags: {
    name: optional({
      flag: 'name',
      value: 'NAME',
      help: 'For people to tell repositories apart; else the last part of the path.',
      parse: parse.text,
    }),
    defaultBranch: optional({
      flag: 'default-branch',
      value: 'BRANCH',
      help: 'Where tasks begin; else the branch that is checked out.',
      parse: parse.text,
    }),
    json: jsonFlag,
    url: urlFlag,
  },
  about: [
    'PATH is the root of a work tree on the machine of the server; without it, the current directory is meant.',
    'Muster never touches that work tree, and runs nothing that the configuration of the repository names.',
  ].join('\n'),
  run: ({ url, json, name, defaultBranch }, [given = '.']) =>
    withClient(url, async (client) => {
      const request = {
        path: path.resolve(given),
        ...(name !== undefined && { name }),
        ...(defaultBranch !== undefined && { defaultBranch }),
      };
      const repo = shownRepo((await client.repos.registerRepo(request)).repo);
      stdout.line(json ? JSON.stringify(repo) : repoText(repo, stdout));
      return exitCodes.ok;
    }),
});
