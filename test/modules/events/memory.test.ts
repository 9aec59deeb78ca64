import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { useBuiltServer } from '../../support/built-server.js';
import { createTestDatabase } from '../../support/database.js';
import { connectRaw } from '../../support/raw-http.js';
import { openEventStream } from '../../support/sse.js';
import { openWebSocket } from '../../support/websocket.js';

const startServer = useBuiltServer();
const mib = 1024 * 1024;

/** Resident memory of a process, as Linux tells it. */
function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

test.runIf(process.platform === 'linux')(
  'readers that take nothing cost the server no memory, however much there is to tell',
  async () => {
    const database = await createTestDatabase();
    onTestFinished(() => database.drop());
    // They are not to be cut off, which would be the easy way out.
    const server = startServer({ databaseUrl: database.url, env: { MUSTER_STREAM_STALL: '10m' } });
    const url = await server.ready();
    const append = (events: number): Promise<unknown> =>
      database.query(
        `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, payload)
         SELECT 1, now(), 'TaskCreated', 'Rest', 'human', 'local', json_build_object('text', repeat('x', 100000))
         FROM generate_series(1, $1::int)`,
        [events],
      );
    const good = await openEventStream(`${url}/api/events/subscribe?after=0&type=TaskDeleted`);
    for (let n = 0; n < 5; n++) {
      const stuck = await connectRaw(url);
      stuck.socket.pause();
      stuck.write('GET /api/events/subscribe?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n');
      const socket = openWebSocket(url, '/api/events/stream');
      await socket.opened;
      socket.send({ type: 'subscribe', after: 0 });
      socket.socket.pause();
    }
    const mark = async (): Promise<void> => {
      const before = good.events.length;
      await database.query(
        `INSERT INTO events_new (count, at, type, source, actor_kind, actor_id, payload)
         VALUES (1, now(), 'TaskDeleted', 'Rest', 'human', 'local', '{}')`,
      );
      await good.until('the mark has come', (events) => events.length > before);
    };
    const passBy = async (megabytes: number): Promise<number> => {
      for (let n = 0; n < megabytes; n += 5) await append(50);
      await mark();
      return residentBytes(server.pid);
    };
    // By then everything is loaded, and all buffers are full.
    const full = await passBy(50);
    const later = [await passBy(200), await passBy(200), await passBy(200)];
    // It goes up and down with the garbage; what is kept would be there at its lowest, too: 600 MB, if only for one reader.
    expect(Math.min(...later) - full).toBeLessThan(200 * mib);
  },
);
