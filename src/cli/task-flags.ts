import { TaskKindSchema, TaskStatusSchema, type TaskKind, type TaskStatus } from '../client/index.js';
import { parse } from '../platform/config.js';
import { enumWords } from '../platform/rpc/words.js';
import { optional } from './flags.js';
import { textOf } from './input.js';
import { parsePriority, priorities } from './job-text.js';

const kindWords = enumWords(TaskKindSchema);
const statusWords = enumWords(TaskStatusSchema);

export const kindNames = kindWords.words;
export const statusNames = statusWords.words;

/** In any letter case: `milestone` is as good as `Milestone`. Throws an Error that lists the words. */
export function parseKind(text: string): TaskKind {
  return kindWords.toNumber(wordOf(kindWords.words, text)) ?? 0;
}

/** The same for `in-progress` and `InProgress`. */
export function parseStatus(text: string): TaskStatus {
  return statusWords.toNumber(wordOf(statusWords.words, text)) ?? 0;
}

/** The word that is meant, in any letter case, with hyphens or without. Throws an Error that lists the words. */
export function wordOf(words: readonly string[], text: string): string {
  const plain = (word: string): string => word.replaceAll(/[-_]/g, '').toLowerCase();
  const word = words.find((each) => plain(each) === plain(text));
  if (word === undefined) throw new Error(`is none of ${words.join(', ')}`);
  return word;
}

/** More than any server takes. */
const maxDescriptionBytes = 1024 * 1024;

/** What was given for a description; for `-` what stdin says, without its blank end. Throws UsageError naming the argument. */
export async function descriptionOf(argument: string, given: string): Promise<string> {
  return given === '-' ? (await textOf(argument, given, maxDescriptionBytes)).trimEnd() : given;
}

export const repoFlag = optional({
  flag: 'repo',
  value: 'ID|PATH',
  help: 'The repository, by its id or a path in it; by default the one of the current directory.',
  parse: parse.text,
});

export const milestoneFlag = optional({
  flag: 'milestone',
  value: 'ID',
  help: 'Only this milestone and what is below it.',
  parse: parse.text,
});

export const priorityFlag = optional({
  flag: 'priority',
  value: 'PRIORITY',
  help: `${priorities.join(', ')}, or 0 to 3. Urgent goes first.`,
  parse: parsePriority,
});

export const contextFlag = optional({
  flag: 'context',
  value: 'TEXT',
  help: 'What its doer, and whoever works below it, has to know.',
  parse: parse.text,
});
