import { migrateOnly } from '../app/database.js';
import { readSettings } from '../platform/config.js';
import { createLog } from '../platform/log.js';
import { serverSettings } from '../settings.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { settingFlags } from './flags.js';
import { stdout } from './output.js';
import { flagsOf } from './serve.js';

const { dataDir, databaseUrl } = serverSettings;

export const migrateCommand = command({
  flags: settingFlags({ dataDir, databaseUrl }),
  about: [
    'Every server does this when it starts. It is of use where the schema is changed before new servers come up; any',
    'number may run at once, beside running servers of the version before.',
  ].join('\n'),
  async run(values) {
    const config = readSettings(serverSettings, { flags: flagsOf(values), env: process.env });
    const steps = await migrateOnly(config, createLog('error'));
    if (steps.length === 0) stdout.line('The database is up to date.');
    for (const step of steps) stdout.line(`took ${step}`);
    return exitCodes.ok;
  },
});
