import { command } from './command.js';
import { exitCodes } from './errors.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { type ShownToken, shownToken, tokenTable } from './token-text.js';

const pageSize = 500;

export const tokenListCommand = command({
  flags: { json: jsonFlag, url: urlFlag },
  about: 'Revoked and expired ones are listed, too: the ledger names them. Secrets are kept nowhere.',
  run: ({ url, json }) =>
    withClient(url, async (client) => {
      const tokens: ShownToken[] = [];
      let cursor: string | undefined;
      do {
        const page = await client.tokens.listTokens({ limit: pageSize, ...(cursor !== undefined && { cursor }) });
        tokens.push(...page.tokens.map(shownToken));
        cursor = page.nextCursor;
      } while (cursor !== undefined);
      if (json) stdout.line(JSON.stringify(tokens));
      else if (tokens.length === 0) stdout.line('There are no tokens; whoever uses this machine is let in.');
      else for (const line of tokenTable(tokens, stdout)) stdout.line(line);
      return exitCodes.ok;
    }),
});
