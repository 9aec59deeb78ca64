import { serverSettings } from '../settings.js';
import type { Command, Entry } from './command.js';
import { type Flag, type Flags, settingFlags, toggle } from './flags.js';
import { alignColumns, type Output } from './output.js';

const helpFlag = toggle('help', 'Say this.');

export function topHelp(commands: readonly Entry[], output: Output): string {
  const { bold } = output.style;
  return [
    'Muster, the coordination server for coding agents.',
    '',
    `${bold('Usage')}  muster [COMMAND] [FLAGS]`,
    '',
    bold('Commands'),
    ...commandLines(commands),
    '',
    'Without a command it serves. `muster help COMMAND` says more of each.',
    '',
    bold('Flags of serve, and the environment variables of the same meaning'),
    ...flagLines(settingFlags(serverSettings), output),
    '',
    bold('The server that the other commands talk to'),
    '  MUSTER_URL    Its address; --url wins. Default http://127.0.0.1:8080.',
    '  MUSTER_TOKEN  Sent as bearer token, where one is needed.',
    '',
    bold('Exit codes'),
    ...exitCodeLines,
  ].join('\n');
}

export const exitCodeLines = [
  '  0  done',
  '  1  the server refused, or something went wrong; stderr says what',
  '  2  the command line makes no sense',
  '  3  no server answers',
];

/** Of several commands under one word, such as `jobs`. */
export function groupHelp(group: string, commands: readonly Entry[], output: Output): string {
  const { bold } = output.style;
  return [
    `${bold('Usage')}  muster ${group} COMMAND [FLAGS]`,
    '',
    bold('Commands'),
    ...commandLines(commands),
    '',
    `\`muster help ${group} COMMAND\` says more of each.`,
  ].join('\n');
}

export function commandHelp({ name, summary }: Entry, command: Command, output: Output): string {
  const { bold } = output.style;
  return [
    summary,
    '',
    `${bold('Usage')}  muster ${[name, ...command.positionals, '[FLAGS]'].join(' ')}`,
    '',
    ...(command.about === '' ? [] : [command.about, '']),
    bold('Flags'),
    ...flagLines({ ...command.flags, helpFlag }, output),
  ].join('\n');
}

function commandLines(commands: readonly Entry[]): string[] {
  return alignColumns(commands.map(({ name, summary }) => [`  ${name}`, summary]));
}

function flagLines(flags: Flags, output: Output): string[] {
  const indent = ' '.repeat(6);
  return Object.values(flags).flatMap((flag) => [
    `  --${flag.flag}${flag.value === undefined ? '' : ` ${flag.value}`}`,
    ...wrap([flag.help, noteOf(flag)].filter(Boolean).join(' '), Math.min(output.columns, 110) - indent.length).map(
      (line) => indent + line,
    ),
  ]);
}

function noteOf({ env, fallback }: Flag<unknown>): string {
  const notes = [env === undefined ? '' : env, fallback === undefined || fallback === '' ? '' : `default ${fallback}`];
  const note = notes.filter(Boolean).join(', ');
  return note === '' ? '' : `[${note}]`;
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
