import type { MusterClient } from '../../client/index.js';
import { parse } from '../../platform/config.js';
import { command } from '../command.js';
import { CommandError, exitCodes, UsageError } from '../errors.js';
import { optional, toggle } from '../flags.js';
import { outliveReader, stderr, stdout } from '../output.js';
import { urlFlag, withClient } from '../server-access.js';
import { repoFlag } from '../task-flags.js';
import { repoHere } from '../task-place.js';
import { shownTask } from '../task-text.js';
import type { ImportPlan } from './plan.js';
import { planImport } from './planner.js';
import { countsText, planJson, planLines, problemText } from './report.js';
import { applyImport, findImported, type Step } from './runner.js';
import { readBeads, readTaskMaster } from './source-file.js';
import type { Source, SourcePlan } from './source-plan.js';

const flags = {
  apply: toggle('apply', 'Make the tasks. Without it nothing changes.'),
  withClosed: toggle('with-closed', 'Take what is done or cancelled, too, and close it here. For humans.'),
  skipBad: toggle('skip-bad', 'Leave out what is wrong, instead of making nothing.'),
  repo: repoFlag,
  milestone: optional({
    flag: 'milestone',
    value: 'ID',
    help: 'An open milestone of the repository, for tasks that the plan has in none.',
    parse: parse.text,
  }),
  json: toggle('json', 'Print the plan as JSON.'),
  url: urlFlag,
};

interface Options {
  readonly apply: boolean;
  readonly withClosed: boolean;
  readonly skipBad: boolean;
  readonly repo: string | undefined;
  readonly milestone: string | undefined;
  readonly json: boolean;
  readonly url: string;
}

const about =
  'First shows what would be made; with --apply it is made. What an earlier import has made is left as it is, so that it may be repeated.';

export const importBeadsCommand = command({
  positionals: ['FILE'],
  flags,
  about: `FILE is an issues.jsonl of beads, such as .beads/issues.jsonl; - is stdin. ${about}`,
  run: (options, [file = '']) => runImport('beads', file, options, () => readBeads(file)),
});

export const importTaskMasterCommand = command({
  positionals: ['FILE'],
  flags: {
    tag: optional({
      flag: 'tag',
      value: 'NAME',
      help: 'Which tag of the file; by default master, or the only one.',
      parse: parse.text,
    }),
    ...flags,
  },
  about: `FILE is a tasks.json of Task Master, such as .taskmaster/tasks/tasks.json; - is stdin. ${about}`,
  run: (options, [file = '']) => runImport('task-master', file, options, () => readTaskMaster(file, options.tag)),
});

async function runImport(
  source: Source,
  file: string,
  options: Options,
  read: () => Promise<SourcePlan>,
): Promise<number> {
  const found = await read();
  return withClient(options.url, async (client) => {
    const repoId = await repoHere(client, options.repo);
    await checkMilestone(client, repoId, options.milestone);
    const plan = planImport(found, {
      source,
      imported: await findImported(client, repoId, source),
      withClosed: options.withClosed,
      milestoneId: options.milestone,
    });
    const isRefused = !options.skipBad && plan.problems.some(({ severity }) => severity === 'error');
    const isApplied = options.apply && !isRefused;
    if (!options.json) {
      if (!isApplied) for (const line of planLines(plan, stdout)) stdout.line(line);
      for (const problem of plan.problems) stderr.line(problemText(file, problem, stderr.style));
      stdout.line(stdout.style.dim(countsText(plan.counts, plan.problems)));
    }
    const ids = isApplied ? await apply(client, repoId, plan, options) : new Map<string, string>();
    if (options.json) stdout.line(planJson(plan, { repoId, isApplied }, ids));
    if (!isApplied) stderr.line(isRefused ? refusal(options) : 'Nothing has been made; --apply makes it.');
    return isRefused ? exitCodes.failed : exitCodes.ok;
  });
}

function refusal({ apply: isAsked }: Options): string {
  return `${isAsked ? 'Nothing has been made' : '--apply would make nothing'} because of the errors; --skip-bad leaves out what is wrong.`;
}

async function apply(
  client: MusterClient,
  repoId: string,
  plan: ImportPlan,
  { json }: Options,
): Promise<ReadonlyMap<string, string>> {
  // Nobody has to watch it to its end.
  outliveReader();
  let created = 0;
  const tell = ({ type, task, id }: Step): void => {
    if (type === 'created') created += 1;
    if (!json) stdout.line(type === 'created' ? `${id} is ${task.item.id}` : `${id} is ${task.close}`);
  };
  try {
    return await applyImport(client, repoId, plan, tell);
  } catch (error) {
    stderr.line(`Of ${plan.counts.create} tasks ${created} have been made. To do the same again goes on from there.`);
    throw error;
  }
}

async function checkMilestone(client: MusterClient, repoId: string, id: string | undefined): Promise<void> {
  if (id === undefined) return;
  const { task } = await client.tasks.getTask({ id });
  const { kind, status, repo_id: its } = shownTask(task?.task);
  if (kind !== 'Milestone') throw new UsageError(`--milestone: ${id} is a ${kind}`);
  if (its !== repoId) throw new UsageError(`--milestone: ${id} is of another repository, ${its}`);
  if (status === 'Completed' || status === 'Cancelled') {
    throw new CommandError(`invalid_state: ${id} is ${status}, and gets no more tasks`, exitCodes.failed);
  }
}
