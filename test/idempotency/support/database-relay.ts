import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { TestDatabase } from '../../support/database.js';

/** A way to a database that can be lost: its users see the connection end, Postgres does not, and goes on. */
export async function openDatabaseRelay(database: TestDatabase): Promise<{ readonly url: string; lose(): void }> {
  const target = new URL(database.url);
  const param = (name: string): string => target.searchParams.get(name) ?? '';
  const open = new Set<{ readonly user: Socket; readonly postgres: Socket }>();
  const relay = createServer((user) => {
    const postgres = connect(`${param('host')}/.s.PGSQL.${param('port')}`);
    open.add({ user, postgres });
    for (const socket of [user, postgres]) socket.on('error', () => undefined);
    // Ends are not passed on: one that was lost is lost on one side only.
    user.pipe(postgres, { end: false });
    postgres.pipe(user, { end: false });
    user.once('end', () => postgres.end());
    postgres.once('close', () => user.destroy());
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    relay.close();
    for (const { user, postgres } of open) [user, postgres].forEach((socket) => socket.destroy());
  });
  const { port } = relay.address() as AddressInfo;
  return {
    url: `postgres://${param('user')}@127.0.0.1:${port}/${database.name}`,
    lose() {
      for (const { user, postgres } of open) {
        user.unpipe(postgres);
        user.removeAllListeners('end');
        user.destroy();
      }
    },
  };
}
