import type { Message } from '@bufbuild/protobuf';
import { type CreateTokenResponse, CreateTokenResponseSchema, type Token, TokenSchema } from '../client/index.js';
import { restShape } from './job-json.js';
import { alignColumns, type Output, printable } from './output.js';

/** A token in the documented words, as REST has it. */
export interface ShownToken {
  readonly id: string;
  readonly role: string;
  readonly name: string;
  readonly capabilities: readonly string[];
  readonly task_id: string | null;
  readonly created_by: string;
  readonly created_at: string;
  readonly expires_at: string | null;
  readonly revoked_at: string | null;
}

export type ShownNewToken = Omit<ShownToken, 'revoked_at'> & { readonly secret: string };

export function shownToken(token: Token): ShownToken {
  return shape(TokenSchema, token) as ShownToken;
}

export function shownNewToken(token: CreateTokenResponse): ShownNewToken {
  return shape(CreateTokenResponseSchema, token) as ShownNewToken;
}

function shape(desc: Parameters<typeof restShape>[0], message: Message): unknown {
  return restShape(desc, message);
}

/** Lines of a table, its head first. */
export function tokenTable(tokens: readonly ShownToken[], { style }: Output): string[] {
  const head = ['ID', 'ROLE', 'NAME', 'CREATED', 'EXPIRES', 'STATE', 'CAPABILITIES'];
  return alignColumns([
    head.map((name) => style.dim(name)),
    ...tokens.map((token) => [
      token.id,
      token.role,
      printable(token.name),
      seconds(token.created_at),
      token.expires_at === null ? 'never' : seconds(token.expires_at),
      stateOf(token, style),
      [...token.capabilities, ...(token.task_id === null ? [] : [`(${token.task_id} only)`])].join(' '),
    ]),
  ]);
}

function stateOf({ revoked_at, expires_at }: ShownToken, style: Output['style']): string {
  if (revoked_at !== null) return style.red('revoked');
  return expires_at !== null && Date.parse(expires_at) <= Date.now() ? style.yellow('expired') : style.green('valid');
}

function seconds(time: string): string {
  return time.replace(/\.\d+Z$/, 'Z');
}
