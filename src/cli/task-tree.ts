import { command } from './command.js';
import { exitCodes } from './errors.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { repoFlag } from './task-flags.js';
import { repoHere } from './task-place.js';
import { progressText, shownProgress, shownTree, treeLines } from './task-text.js';

export const taskTreeCommand = command({
  positionals: ['[ID]'],
  flags: { repo: repoFlag, json: jsonFlag, url: urlFlag },
  about: 'Of one task and what is below it, or of the repository; and how far it has come.',
  run: ({ url, json, repo }, [rootId]) =>
    withClient(url, async (client) => {
      const scope = rootId === undefined ? { repoId: await repoHere(client, repo) } : { rootId };
      const trees = (await client.tasks.getTaskTree(scope)).trees.map(shownTree);
      if (json) {
        stdout.line(JSON.stringify(trees));
        return exitCodes.ok;
      }
      for (const line of treeLines(trees, stdout)) stdout.line(line);
      const { progress } = await client.tasks.getTaskProgress(scope);
      stdout.line(stdout.style.dim(progressText(shownProgress(progress))));
      return exitCodes.ok;
    }),
});
