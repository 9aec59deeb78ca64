import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { CreateTokenRequestSchema, Role, RoleSchema } from '../client/index.js';
import type { Role as RoleName } from '../platform/auth/principal.js';
import { parse, readSettings } from '../platform/config.js';
import { createLog } from '../platform/log.js';
import { enumWords } from '../platform/rpc/words.js';
import { serverSettings } from '../settings.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional, repeated, required, settingFlags, toggle } from './flags.js';
import { jsonFlag } from './jobs-get.js';
import { stderr, stdout } from './output.js';
import { flagsOf } from './serve.js';
import { urlFlag, withClient } from './server-access.js';
import { type ShownNewToken, shownNewToken } from './token-text.js';

const { dataDir, databaseUrl } = serverSettings;
const roleWords = enumWords(RoleSchema);

const tokenFlags = {
  role: required({
    flag: 'role',
    value: 'ROLE',
    help: `What it may do: ${roleWords.words.join(', ')}. The first token has to be a human.`,
    parse: (text) => parse.oneOf(roleWords.words)(text) as RoleName,
  }),
  name: required({ flag: 'name', value: 'NAME', help: 'For people to tell tokens apart.', parse: parse.text }),
  expires: optional({
    flag: 'expires',
    value: 'DURATION',
    help: 'For how long it is good, such as 12h or 30d; else for ever.',
    parse: parse.positive(parse.duration),
  }),
  capability: repeated({
    flag: 'capability',
    value: 'NAME',
    help: 'What an agent may do, such as jobs.work. May be repeated.',
    parse: parse.text,
  }),
  task: optional({
    flag: 'task',
    value: 'ID',
    help: 'The only task that an agent may work on.',
    parse: parse.text,
  }),
};

export const tokenCreateCommand = command({
  flags: {
    ...tokenFlags,
    direct: toggle('direct', 'Make it in the database itself, without a server and without a token.'),
    json: jsonFlag,
    url: urlFlag,
    ...settingFlags({ dataDir, databaseUrl }),
  },
  about: [
    'The secret goes to stdout and is shown this once: export MUSTER_TOKEN=$(muster token create ...).',
    'Once there is a token, nobody is let in without one. --direct is for the first token of a server that others can reach, and',
    'for when the last one is lost; the embedded database takes it only while no server runs on it.',
  ].join('\n'),
  async run({ direct, json, url, role, name, expires, capability, task, ...settings }) {
    const asked: Asked = { role, name, capabilities: capability, taskId: task, expiresInMs: expires };
    if (direct) return print(await createDirectly(asked, settings), json);
    return withClient(url, async (client) => {
      const request = create(CreateTokenRequestSchema, {
        role: (roleWords.toNumber(role) ?? Role.UNSPECIFIED) as Role,
        name,
        capabilities: [...capability],
        ...(task !== undefined && { taskId: task }),
        ...(expires !== undefined && { expiresAt: timestampFromDate(expiry(expires)) }),
      });
      return print(shownNewToken(await client.tokens.createToken(request)), json);
    });
  },
});

interface Asked {
  readonly role: RoleName;
  readonly name: string;
  readonly capabilities: readonly string[];
  readonly taskId: string | undefined;
  readonly expiresInMs: number | undefined;
}

async function createDirectly(asked: Asked, settings: Readonly<Record<string, unknown>>): Promise<ShownNewToken> {
  const config = readSettings(serverSettings, { flags: flagsOf(settings), env: process.env });
  const { createTokenDirectly } = await import('../app/database.js');
  const { expiresInMs, ...input } = asked;
  const expiresAt = expiresInMs === undefined ? undefined : expiry(expiresInMs);
  const token = await createTokenDirectly(config, { ...input, expiresAt }, createLog('silent'));
  return {
    id: token.id,
    role: token.role,
    name: token.name,
    capabilities: token.capabilities,
    task_id: token.taskId ?? null,
    created_by: token.createdBy,
    created_at: token.createdAt.toISOString(),
    expires_at: token.expiresAt?.toISOString() ?? null,
    secret: token.secret,
  };
}

function expiry(inMs: number): Date {
  return new Date(Date.now() + inMs);
}

function print(token: ShownNewToken, json: boolean): number {
  if (json) stdout.line(JSON.stringify(token));
  else {
    const until = token.expires_at === null ? '' : `, until ${token.expires_at}`;
    stderr.line(`${token.id} is a ${token.role}'s token${until}. Its secret is shown this once:`);
    stdout.line(token.secret);
  }
  return exitCodes.ok;
}
