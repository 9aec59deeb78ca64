import { command } from './command.js';
import { exitCodes } from './errors.js';
import { toggle } from './flags.js';
import { jobText, shownJob } from './job-text.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';

export const jsonFlag = toggle('json', 'Print the JSON that REST has for it.');

export const getCommand = command({
  positionals: ['ID'],
  flags: { json: jsonFlag, url: urlFlag },
  about: '',
  run: ({ url, json }, [id = '']) =>
    withClient(url, async (client) => {
      const { job } = await client.jobs.getJob({ id });
      if (job === undefined) throw new Error('the server answered without a job');
      const shown = shownJob(job);
      stdout.line(json ? JSON.stringify(shown) : jobText(shown, stdout));
      return exitCodes.ok;
    }),
});
