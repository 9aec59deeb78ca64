import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { serverSettings } from '../../src/settings.js';
import { useBuiltServer } from '../support/built-server.js';
import { type Ended, runMuster } from './support/muster.js';
import { useOneProcess } from './support/one-process.js';

useBuiltServer();
const inOneProcess = useOneProcess();

const commands = [
  'serve',
  'migrate',
  'work',
  'jobs submit',
  'jobs get',
  'jobs list',
  'jobs cancel',
  'jobs watch',
  'task add',
  'task list',
  'task tree',
  'task show',
  'task next',
  'task claim',
  'task start',
  'task submit',
  'task diff',
  'task archive',
  'task edit',
  'task cancel',
  'task block',
  'task unblock',
  'task set-status',
  'task force-complete',
  'task delete',
  'gate add',
  'gate list',
  'gate effective',
  'gate set',
  'gate remove',
  'gate results',
  'gate rerun',
  'gate watch',
  'help-requests ask',
  'help-requests list',
  'help-requests show',
  'help-requests respond',
  'help-requests resume',
  'learnings add',
  'learnings list',
  'review show',
  'review list',
  'review diff',
  'review comment',
  'review resolve',
  'review approve',
  'review request-changes',
  'import beads',
  'import task-master',
  'events tail',
  'repo register',
  'repo list',
  'repo show',
  'repo set',
  'repo unregister',
  'token create',
  'token list',
  'token revoke',
  'demo',
];

test.each([[['--help']], [['-h']], [['help']]])('muster %j lists every command and every setting', async (args) => {
  const { code, stdout, stderr } = await inOneProcess(args);
  expect([code, stderr]).toEqual([0, '']);
  for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command} +\\w`, 'm'));
  const oneLine = stdout.replaceAll(/\s+/g, ' ');
  for (const { flag, value, env, fallback, help } of Object.values(serverSettings)) {
    const note = fallback === '' ? `[${env}]` : `[${env}, default ${fallback}]`;
    expect(oneLine).toContain(`--${flag} ${value} ${help} ${note}`);
  }
});

describe('muster COMMAND --help says how it is used', () => {
  let said: readonly Ended[] = [];
  beforeAll(async () => {
    said = await Promise.all(commands.map((command) => inOneProcess([...command.split(' '), '--help'])));
  });
  test.each(commands.map((command, index) => [command, index] as const))('%s', (command, index) => {
    expect(said[index]).toMatchObject({ code: 0, stderr: '' });
    expect(said[index]?.stdout).toContain(`Usage  muster ${command}`);
    expect(said[index]?.stdout).toMatch(/^Flags$/m);
  });
});

test.each(['serve', 'jobs submit'])('muster help %s says the same as --help after it', async (command) => {
  const words = command.split(' ');
  const [own, asked] = await Promise.all([inOneProcess([...words, '--help']), inOneProcess(['help', ...words])]);
  expect(asked).toEqual(own);
});

test('muster help jobs lists the commands under it', async () => {
  const [asked, own] = await Promise.all([inOneProcess(['help', 'jobs']), inOneProcess(['jobs', '--help'])]);
  expect([asked.code, own.code]).toEqual([0, 0]);
  expect(own.stdout).toBe(asked.stdout);
  for (const command of commands.filter((name) => name.startsWith('jobs '))) expect(own.stdout).toContain(command);
});

test('help is plain text where it is no terminal', async () => {
  expect((await runMuster(['--help'])).stdout).not.toContain('\u001b');
});

test('muster --version tells the version of the package', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(await runMuster(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

describe('a command line that makes no sense ends with 2 and names what is wrong', () => {
  const cases: readonly [args: string, stderr: string, topic?: string][] = [
    ['nonsense', "there is no command 'nonsense'"],
    ['help nonsense', "there is no command 'nonsense'"],
    [
      'jobs',
      "'jobs' alone says too little; there is jobs submit, jobs get, jobs list, jobs cancel, jobs watch",
      'jobs',
    ],
    ['jobs nonsense', "there is no command 'jobs nonsense'", 'jobs'],
    ['--nonsense', "unknown option '--nonsense'", 'serve'],
    ['serve --nonsense=1', "unknown option '--nonsense'", 'serve'],
    ['serve here', "what is 'here' for?", 'serve'],
    ['serve --port', "option '--port <value>' argument missing", 'serve'],
    ['--port 1 --port 2', '--port may be given only once', 'serve'],
    ['serve --port 65536', "--port: '65536' is no whole number from 0 to 65535"],
    ['--poll-interval soon', "--poll-interval: 'soon' is no duration such as 500ms"],
    ['migrate --port 1', "unknown option '--port'", 'migrate'],
    ['work --exec true', '--kind KIND is required', 'work'],
    ['work --kind a', '--exec COMMAND is required', 'work'],
    ['work --kind a --exec=', "--exec: '' is no command", 'work'],
    ['work --kind a --exec b --concurrency 0', "--concurrency: '0' is no whole number from 1 to 1000", 'work'],
    ['work --kind a --exec b --timeout 1', "--timeout: '1' is no duration", 'work'],
    ['work --kind a --exec b --lease-sec 3601', "--lease-sec: '3601' is no whole number from 1 to 3600", 'work'],
    ['work --kind a --exec b --url x', "url: 'x' is no URL such as http://127.0.0.1:8080", 'work'],
    ['jobs get', 'ID is missing', 'jobs get'],
    ['jobs get a b', "what is 'b' for?", 'jobs get'],
    ['jobs get a --url ftp://x', "url: 'ftp://x' is no URL such as", 'jobs get'],
    ['jobs list --status gone', "--status: 'gone' is none of queued, running, done, error, canceled", 'jobs list'],
    ['jobs list --limit 0', "--limit: '0' is no whole number from 1 to", 'jobs list'],
    ['jobs list --json=yes', "option '--json' does not take an argument", 'jobs list'],
    ['import', "'import' alone says too little; there is import beads, import task-master", 'import'],
    ['import beads', 'FILE is missing', 'import beads'],
    ['import task-master x --apply=1', "option '--apply' does not take an argument", 'import task-master'],
    ['events', "'events' alone says too little; there is events tail", 'events'],
    ['events tail here', "what is 'here' for?", 'events tail'],
    ['events tail --after -1', "option '--after' argument is ambiguous", 'events tail'],
    ['events tail --after=-1', "--after: '-1' is no whole number from 0 to", 'events tail'],
    ['events tail --limit 1001', "--limit: '1001' is no whole number from 0 to 1000", 'events tail'],
    ['events tail --limit 0', '--limit 0 shows nothing without --follow', 'events tail'],
    ['events tail --after 1 --limit 1', '--after and --limit cannot both be given', 'events tail'],
    ['events tail --source cli', "--source: 'cli' is none of Rest, Rpc, Mcp, Relay, Cli, System", 'events tail'],
    ['events tail --job a --job b', '--job may be given only once', 'events tail'],
    ['gate add', 'NAME is missing', 'gate add'],
    ['gate add a', '--command COMMAND is required', 'gate add'],
    ['gate add a --command b --timeout soon', "--timeout: 'soon' is no number of seconds such as 300", 'gate add'],
    ['gate add a --command b --timeout 1500ms', "--timeout: '1500ms' is no whole number of seconds", 'gate add'],
    ['gate add a --command b --max-retries 101', "--max-retries: '101' is no whole number from 0 to 100", 'gate add'],
    ['gate add a --command b --repo c --task d', '--repo and --task cannot both be given', 'gate add'],
    ['gate set a', 'nothing is to be changed; give a flag that says what', 'gate set'],
    ['repo set', 'nothing is to be changed; give a flag that says what', 'repo set'],
    ['gate list', 'which repository? Name it with --repo, or go to it', 'gate list'],
    ['gate watch', 'which task? Name its id, or go to its worktree', 'gate watch'],
    ['jobs submit', 'KIND is missing', 'jobs submit'],
    ['jobs submit a --payload {', "--payload: '{' is no JSON: ", 'jobs submit'],
    ['jobs submit a --payload "\\udcff"', `--payload: '"\\udcff"' must be JSON without halves of`, 'jobs submit'],
    ['jobs submit a --payload 1 --payload-file -', '--payload and --payload-file cannot both be given', 'jobs submit'],
    ['jobs submit a --payload-file /no/file', "--payload-file: '/no/file' ENOENT: no such file", 'jobs submit'],
    ['jobs submit a --priority 4', "--priority: '4' is none of urgent, high, normal, low", 'jobs submit'],
    ['jobs submit a --run-at tomorrow', "--run-at: 'tomorrow' is no time such as", 'jobs submit'],
    [
      'jobs submit a --run-at 2026-02-29T12:00:00Z',
      "--run-at: '2026-02-29T12:00:00Z' is no time such as",
      'jobs submit',
    ],
    ['jobs submit a --run-at +5', "--run-at: '+5' is no duration such as", 'jobs submit'],
    ['jobs submit a --max-attempts 101', "--max-attempts: '101' is no whole number from 1 to 100", 'jobs submit'],
    ['jobs submit a --timeout-sec 1.5', "--timeout-sec: '1.5' is no whole number from 1 to 604800", 'jobs submit'],
  ];
  let said: readonly Ended[] = [];
  beforeAll(async () => {
    said = await Promise.all(cases.map(([line]) => inOneProcess(line.split(' '))));
  });
  test.each(cases.map((each, index) => [each[0], index, ...each.slice(1)] as const))(
    'muster %s',
    (_line, index, message, topic) => {
      const { code, stdout, stderr } = said[index] ?? { code: null, stdout: '', stderr: '' };
      expect(stderr).toContain(`muster: ${message}`);
      expect([code, stdout]).toEqual([2, '']);
      if (topic !== undefined) expect(stderr).toMatch(new RegExp(`^See muster help ${topic}\\.$`, 'm'));
    },
  );

  test('and the process ends with it', async () => {
    const { code, stderr } = await inOneProcess(['nonsense']);
    expect([code, stderr]).toEqual([2, expect.stringContaining("there is no command 'nonsense'")]);
  });

  test('a value from the environment is named by its variable', async () => {
    const { code, stderr } = await inOneProcess(['jobs', 'list'], { env: { MUSTER_URL: 'nowhere' } });
    expect([code, stderr]).toEqual([2, expect.stringContaining("url: 'nowhere' is no URL")]);
    const serve = await runMuster([], { env: { MUSTER_LOG_LEVEL: 'loud' } });
    expect([serve.code, serve.stderr]).toEqual([2, expect.stringContaining("MUSTER_LOG_LEVEL: 'loud' is none of")]);
  });
});
