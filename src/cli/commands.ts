import { AppError, messageOf } from '../errors.js';
import { readVersion } from '../platform/version.js';
import type { Command } from './command.js';
import { CommandError, exitCodes, UsageError } from './errors.js';
import { readCommandLine } from './flags.js';
import type { Listed } from './help.js';
import { stderr, stdout } from './output.js';

interface Entry extends Listed {
  /** Loaded when asked for: a server need not pay for the client, nor a client for the server. */
  readonly load: () => Promise<Command>;
}

const commands: readonly Entry[] = [
  {
    name: 'serve',
    summary: 'Runs a server.',
    load: async () => (await import('./serve.js')).serveCommand,
  },
  {
    name: 'migrate',
    summary: 'Brings the database up to date, without a server.',
    load: async () => (await import('./migrate.js')).migrateCommand,
  },
  {
    name: 'work',
    summary: 'Runs a program for each job of some kinds.',
    load: async () => (await import('./work.js')).workCommand,
  },
  {
    name: 'jobs submit',
    summary: 'Submits a job.',
    load: async () => (await import('./jobs-submit.js')).submitCommand,
  },
  {
    name: 'jobs get',
    summary: 'Shows a job.',
    load: async () => (await import('./jobs-get.js')).getCommand,
  },
  {
    name: 'jobs list',
    summary: 'Lists jobs, newest first.',
    load: async () => (await import('./jobs-list.js')).listCommand,
  },
  {
    name: 'jobs cancel',
    summary: 'Cancels a job that has not ended.',
    load: async () => (await import('./jobs-cancel.js')).cancelCommand,
  },
  {
    name: 'jobs watch',
    summary: 'Follows a job until it has ended.',
    load: async () => (await import('./jobs-watch.js')).watchCommand,
  },
  {
    name: 'task add',
    summary: 'Adds a task to a repository.',
    load: async () => (await import('./task-add.js')).taskAddCommand,
  },
  {
    name: 'task list',
    summary: 'Lists tasks, newest first.',
    load: async () => (await import('./task-list.js')).taskListCommand,
  },
  {
    name: 'task tree',
    summary: 'Draws tasks below each other, and says how far they have come.',
    load: async () => (await import('./task-tree.js')).taskTreeCommand,
  },
  {
    name: 'task show',
    summary: 'Shows a task with all that its doer has to know.',
    load: async () => (await import('./task-show.js')).taskShowCommand,
  },
  {
    name: 'task next',
    summary: 'Shows the ready task that goes first.',
    load: async () => (await import('./task-show.js')).taskNextCommand,
  },
  {
    name: 'task claim',
    summary: 'Takes the ready task that goes first, and starts it.',
    load: async () => (await import('./task-show.js')).taskClaimCommand,
  },
  {
    name: 'task start',
    summary: 'Starts a task in a work tree of its own.',
    load: async () => (await import('./task-moves.js')).taskStartCommand,
  },
  {
    name: 'task submit',
    summary: 'Commits the work on a task, and opens a review.',
    load: async () => (await import('./task-moves.js')).taskSubmitCommand,
  },
  {
    name: 'task diff',
    summary: 'Shows what a task has changed.',
    load: async () => (await import('./task-diff.js')).taskDiffCommand,
  },
  {
    name: 'task archive',
    summary: 'Removes branch and work tree of a task that is done; commits are kept.',
    load: async () => (await import('./task-diff.js')).taskArchiveCommand,
  },
  {
    name: 'task edit',
    summary: 'Changes the description, context or priority of a task.',
    load: async () => (await import('./task-moves.js')).taskEditCommand,
  },
  {
    name: 'task cancel',
    summary: 'Cancels a task and what is open below it.',
    load: async () => (await import('./task-moves.js')).taskCancelCommand,
  },
  {
    name: 'task block',
    summary: 'Makes a task wait for another one.',
    load: async () => (await import('./task-moves.js')).taskBlockCommand,
  },
  {
    name: 'task unblock',
    summary: 'Ends that.',
    load: async () => (await import('./task-moves.js')).taskUnblockCommand,
  },
  {
    name: 'task set-status',
    summary: 'Sets the status of a task.',
    load: async () => (await import('./task-moves.js')).taskSetStatusCommand,
  },
  {
    name: 'task force-complete',
    summary: 'Completes a task, whatever it waits for.',
    load: async () => (await import('./task-moves.js')).taskForceCompleteCommand,
  },
  {
    name: 'task delete',
    summary: 'Deletes a task and what is below it.',
    load: async () => (await import('./task-moves.js')).taskDeleteCommand,
  },
  {
    name: 'gate add',
    summary: 'Adds a gate that tasks have to pass, to a repository or a task.',
    load: async () => (await import('./gates.js')).gateAddCommand,
  },
  {
    name: 'gate list',
    summary: 'Lists the gates of a repository or a task.',
    load: async () => (await import('./gates.js')).gateListCommand,
  },
  {
    name: 'gate effective',
    summary: 'Lists all gates that a task has to pass.',
    load: async () => (await import('./gates.js')).gateEffectiveCommand,
  },
  {
    name: 'gate set',
    summary: 'Changes a gate.',
    load: async () => (await import('./gates.js')).gateSetCommand,
  },
  {
    name: 'gate remove',
    summary: 'Removes a gate.',
    load: async () => (await import('./gates.js')).gateRemoveCommand,
  },
  {
    name: 'gate results',
    summary: 'Shows what gates have found for a review.',
    load: async () => (await import('./gate-results.js')).gateResultsCommand,
  },
  {
    name: 'gate rerun',
    summary: 'Lets the gates of an escalated review run again.',
    load: async () => (await import('./gate-results.js')).gateRerunCommand,
  },
  {
    name: 'gate watch',
    summary: 'Follows the gates of a review until they have ended.',
    load: async () => (await import('./gate-watch.js')).gateWatchCommand,
  },
  {
    name: 'help-requests ask',
    summary: 'Asks a human for help on a task, which waits from then on.',
    load: async () => (await import('./help-ask.js')).helpAskCommand,
  },
  {
    name: 'help-requests list',
    summary: 'Lists what was asked on a task, or what waits for a human.',
    load: async () => (await import('./help-requests.js')).helpListCommand,
  },
  {
    name: 'help-requests show',
    summary: 'Shows what a task waits for.',
    load: async () => (await import('./help-requests.js')).helpShowCommand,
  },
  {
    name: 'help-requests respond',
    summary: 'Answers a request.',
    load: async () => (await import('./help-requests.js')).helpRespondCommand,
  },
  {
    name: 'help-requests resume',
    summary: 'Lets a task go on that was answered.',
    load: async () => (await import('./help-requests.js')).helpResumeCommand,
  },
  {
    name: 'learnings add',
    summary: 'Writes down what was learned on a task.',
    load: async () => (await import('./learnings.js')).learningsAddCommand,
  },
  {
    name: 'learnings list',
    summary: 'Lists what was learned on a task, and above it.',
    load: async () => (await import('./learnings.js')).learningsListCommand,
  },
  {
    name: 'review show',
    summary: 'Shows a review and what was said.',
    load: async () => (await import('./review-show.js')).reviewShowCommand,
  },
  {
    name: 'review list',
    summary: 'Lists the reviews of a task, a round each.',
    load: async () => (await import('./review-show.js')).reviewListCommand,
  },
  {
    name: 'review diff',
    summary: 'Shows what is reviewed, or what has changed since an earlier round.',
    load: async () => (await import('./review-show.js')).reviewDiffCommand,
  },
  {
    name: 'review comment',
    summary: 'Comments on a file or lines of what is reviewed.',
    load: async () => (await import('./review-comment.js')).reviewCommentCommand,
  },
  {
    name: 'review resolve',
    summary: 'Says that a comment is dealt with.',
    load: async () => (await import('./review-comment.js')).reviewResolveCommand,
  },
  {
    name: 'review approve',
    summary: 'Approves what is reviewed, in the present phase.',
    load: async () => (await import('./review-decide.js')).reviewApproveCommand,
  },
  {
    name: 'review request-changes',
    summary: 'Closes a review, and gives the task back.',
    load: async () => (await import('./review-decide.js')).reviewRequestChangesCommand,
  },
  {
    name: 'import beads',
    summary: 'Makes tasks of the issues of beads.',
    load: async () => (await import('./import/commands.js')).importBeadsCommand,
  },
  {
    name: 'import task-master',
    summary: 'Makes tasks of the tasks of Task Master.',
    load: async () => (await import('./import/commands.js')).importTaskMasterCommand,
  },
  {
    name: 'events tail',
    summary: 'Shows the newest events of the ledger, and follows it.',
    load: async () => (await import('./events-tail.js')).tailCommand,
  },
  {
    name: 'repo register',
    summary: 'Registers a git repository, for tasks to be done in.',
    load: async () => (await import('./repo-register.js')).repoRegisterCommand,
  },
  {
    name: 'repo list',
    summary: 'Lists repositories, newest first.',
    load: async () => (await import('./repo-list.js')).repoListCommand,
  },
  {
    name: 'repo show',
    summary: 'Shows a repository.',
    load: async () => (await import('./repo-show.js')).repoShowCommand,
  },
  {
    name: 'repo unregister',
    summary: 'Forgets a repository, and changes nothing in it.',
    load: async () => (await import('./repo-unregister.js')).repoUnregisterCommand,
  },
  {
    name: 'token create',
    summary: 'Makes a token, with which its holder is let in.',
    load: async () => (await import('./token-create.js')).tokenCreateCommand,
  },
  {
    name: 'token list',
    summary: 'Lists tokens, without their secrets.',
    load: async () => (await import('./token-list.js')).tokenListCommand,
  },
  {
    name: 'token revoke',
    summary: 'Revokes a token at once.',
    load: async () => (await import('./token-revoke.js')).tokenRevokeCommand,
  },
  {
    name: 'demo',
    summary: 'Shows it all: a server, two workers, and jobs that run a real program over real files.',
    load: async () => (await import('./demo.js')).demoCommand,
  },
];

/** Runs what the command line asks for. Answers the exit code; what went wrong is said on stderr. */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (error) {
    if (error instanceof CommandError) {
      stderr.line(`muster: ${error.message}`);
      if (error instanceof UsageError) stderr.line(`See muster help${topicOf(args)}.`);
      return error.exitCode;
    }
    if (error instanceof AppError) {
      stderr.line(`muster: ${error.message}`);
      return error.kind === 'invalid_request' ? exitCodes.usage : exitCodes.failed;
    }
    stderr.line(`muster: ${messageOf(error)}`);
    if (error instanceof Error && error.stack !== undefined) stderr.line(error.stack);
    return exitCodes.failed;
  }
}

async function dispatch(args: readonly string[]): Promise<number> {
  const [first = 'serve', ...rest] = args;
  if (first === '--version') {
    stdout.line(readVersion());
    return exitCodes.ok;
  }
  if (first === '--help' || first === '-h') return help([]);
  if (first === 'help') return help(rest);
  const entry = entryOf(args);
  if (entry === undefined) return unknown(args);
  if (asksForHelp(args)) return help(entry.name.split(' '));
  const own = args.slice(first.startsWith('-') ? 0 : entry.name.split(' ').length);
  const command = await entry.load();
  const { values, positionals } = readCommandLine(own, command.flags, command.positionals, process.env);
  return command.run(values, positionals);
}

/** The command that a command line begins with; serve when it begins with none. */
function entryOf(args: readonly string[]): Entry | undefined {
  const [first = 'serve', second] = args;
  const name = first.startsWith('-') ? 'serve' : first;
  return commands.find((entry) => entry.name === name || entry.name === `${name} ${second}`);
}

function topicOf(args: readonly string[]): string {
  const [first = ''] = args;
  const topic = entryOf(args)?.name ?? (groupOf(first).length > 0 ? first : '');
  return topic === '' ? '' : ` ${topic}`;
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).some((arg) => arg === '--help' || arg === '-h');
}

function groupOf(word: string | undefined): readonly Entry[] {
  return commands.filter(({ name }) => name.startsWith(`${word} `));
}

/** Says help for a command or a group of them, named word by word; for all when none is. */
async function help(words: readonly string[]): Promise<number> {
  const { commandHelp, groupHelp, topHelp } = await import('./help.js');
  const [word] = words;
  if (word === undefined) {
    stdout.line(topHelp(commands, stdout));
    return exitCodes.ok;
  }
  const entry = entryOf(words);
  const group = groupOf(word);
  if (entry !== undefined) stdout.line(commandHelp(entry, await entry.load(), stdout));
  else if (group.length > 0 && words.length === 1) stdout.line(groupHelp(word, group, stdout));
  else return unknown(words);
  return exitCodes.ok;
}

async function unknown(args: readonly string[]): Promise<number> {
  const [first = '', second] = args;
  const group = groupOf(first);
  if (group.length === 0) throw new UsageError(`there is no command '${first}'`);
  if (asksForHelp(args)) return help([first]);
  const known = group.map(({ name }) => name).join(', ');
  if (second === undefined) throw new UsageError(`'${first}' alone says too little; there is ${known}`);
  throw new UsageError(`there is no command '${first} ${second}'; there is ${known}`);
}
