import { rest } from '../../support/rest.js';
import type { TestApp } from '../../support/app.js';

export interface TestToken {
  readonly id: string;
  readonly secret: string;
}

export function bearer({ secret }: TestToken): Record<string, string> {
  return { authorization: `Bearer ${secret}` };
}

/** Makes tokens as a user does. The first one must be a human's, and makes the others. */
export async function makeToken(app: Pick<TestApp, 'url'>, input: object, by?: TestToken): Promise<TestToken> {
  const answer = await rest(app.url, 'POST', '/api/tokens', { name: 'test', ...input }, by && bearer(by));
  if (answer.status !== 201) throw new Error(`${answer.status} ${answer.text}`);
  return answer.json as TestToken;
}
