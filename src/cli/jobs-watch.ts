import { followJob, type MusterClient } from '../client/index.js';
import { command } from './command.js';
import { changeText, jobText, type ShownJob, shownJob } from './job-text.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { sayLost, urlFlag, withClient } from './server-access.js';

export const watchAbout = [
  'Exit codes tell how the job ended:',
  '  0  done',
  '  1  error (also when the server refused; stderr says which)',
  '  2  canceled (also when the command line makes no sense)',
  '  3  no server answers',
].join('\n');

export const watchCommand = command({
  positionals: ['ID'],
  flags: {
    json: { ...jsonFlag, help: 'Print the JSON that REST has for the job, a line for each of its states.' },
    url: urlFlag,
  },
  about: `Prints the job's state and each change of it. A connection that is lost is made anew.\n\n${watchAbout}`,
  run: ({ url, json }, [id = '']) => withClient(url, (client) => watch(client, id, json)),
});

/** Prints each state of a job until it has ended. Answers the exit code that tells its end. */
export async function watch(client: MusterClient, id: string, json: boolean): Promise<number> {
  let last: ShownJob | undefined;
  const onLost = (error: unknown, retryInMs: number): void => sayLost(client, error, retryInMs);
  for await (const job of followJob(client, id, { onLost })) {
    last = shownJob(job);
    stdout.line(json ? JSON.stringify(last) : changeText(last, stdout));
  }
  if (!json && last !== undefined) stdout.line(`\n${jobText(last, stdout)}`);
  return exitCodeOf(last?.status);
}

function exitCodeOf(status: string | undefined): number {
  if (status === 'done') return 0;
  return status === 'canceled' ? 2 : 1;
}
