// A bare cursor over the ledger's table, a thousand rows at a time, each printed as JSON: what one would write by hand.

import http from 'node:http';
import { once } from 'node:events';
import pg from 'pg';
import { answer } from '../lib/child.mjs';

const client = new pg.Client({ connectionString: process.env.DATABASE_URL });
await client.connect();
const server = http.createServer(async (request, response) => {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('retry: 1000\n\n');
  await client.query('begin');
  await client.query('declare all_events cursor for select * from events order by seq');
  for (;;) {
    const { rows } = await client.query('fetch 1000 from all_events');
    if (rows.length === 0) break;
    const text = rows.map((row) => `id: ${row.seq}\ndata: ${JSON.stringify(row)}\n\n`).join('');
    if (!response.write(text)) await once(response, 'drain');
  }
  await client.query('commit');
  response.end();
});
server.listen(0, '127.0.0.1', () => answer({ port: server.address().port }));
