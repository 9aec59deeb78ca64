import { CancelJobResponseSchema } from '../client/index.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { restShape } from './job-json.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';

export const cancelCommand = command({
  positionals: ['ID'],
  flags: { json: jsonFlag, url: urlFlag },
  about:
    'The worker of a running job is told at once. A job that is canceled already is fine; one that has ended is not.',
  run: ({ url, json }, [id = '']) =>
    withClient(url, async (client) => {
      const answer = restShape(CancelJobResponseSchema, await client.jobs.cancelJob({ id }));
      stdout.line(json ? JSON.stringify(answer) : `${String(answer['id'])} is ${String(answer['status'])}`);
      return exitCodes.ok;
    }),
});
