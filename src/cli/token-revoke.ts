import { command } from './command.js';
import { exitCodes } from './errors.js';
import { jsonFlag } from './jobs-get.js';
import { stdout } from './output.js';
import { urlFlag, withClient } from './server-access.js';
import { shownToken } from './token-text.js';

export const tokenRevokeCommand = command({
  positionals: ['ID'],
  flags: { json: jsonFlag, url: urlFlag },
  about: 'Its calls are refused from now on, and what is open under it ends within a second.',
  run: ({ url, json }, [id = '']) =>
    withClient(url, async (client) => {
      const { token } = await client.tokens.revokeToken({ id });
      if (token === undefined) throw new Error('the server answered without a token');
      const shown = shownToken(token);
      stdout.line(json ? JSON.stringify(shown) : `${shown.id} is revoked`);
      return exitCodes.ok;
    }),
});
