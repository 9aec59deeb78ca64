import { AppError, codeOf, messageOf } from '../errors.js';
import { readVersion } from '../platform/version.js';
import type { Entry } from './command.js';
import { commands } from './command-list.js';
import { CommandError, exitCodes, UsageError } from './errors.js';
import { readCommandLine } from './flags.js';
import { printable, stderr, stdout } from './output.js';

/** Runs what the command line asks for. Answers the exit code; what went wrong is said on stderr. */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    return await dispatch(args);
  } catch (caught) {
    const error = isNowhere(caught) ? nowhere(caught) : caught;
    if (error instanceof CommandError) {
      say(`muster: ${error.message}`);
      if (error instanceof UsageError) say(`See muster help${topicOf(args)}.`);
      return error.exitCode;
    }
    if (error instanceof AppError) {
      say(`muster: ${error.message}`);
      return error.kind === 'invalid_request' ? exitCodes.usage : exitCodes.failed;
    }
    say(`muster: ${messageOf(error)}`);
    if (error instanceof Error && error.stack !== undefined) say(error.stack);
    return exitCodes.failed;
  }
}

/** What a command ends with that wants to know where it runs, when somebody has removed that directory. */
function isNowhere(error: unknown): boolean {
  return codeOf(error) === 'ENOENT' && (error as NodeJS.ErrnoException).syscall === 'uv_cwd';
}

function nowhere(cause: unknown): CommandError {
  return new CommandError('the current directory has been removed; go to another one', exitCodes.usage, cause);
}

/** What went wrong may be told in words of others, such as the name of a file. */
function say(text: string): void {
  stderr.line(printable(text));
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
