import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { withClient } from './db.mjs';

/** What the figures of one run hang on: [name, value] pairs for the head of a report. */
export async function describeRun(connection) {
  const { rows } = await withClient(connection, (client) =>
    client.query(`select current_setting('server_version') as version, current_setting('fsync') as fsync,
      current_setting('synchronous_commit') as "synchronousCommit"`),
  );
  const [{ version, fsync, synchronousCommit }] = rows;
  const { dependencies } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const [{ model }] = cpus();
  return [
    ['machine', `${model}, ${cpus().length} cores`],
    ['node', process.version],
    ['postgres', `${version}, fsync ${fsync}, synchronous_commit ${synchronousCommit}`],
    [
      'packages',
      Object.entries(dependencies)
        .map(([name, pin]) => `${name} ${pin}`)
        .join(', '),
    ],
  ];
}
