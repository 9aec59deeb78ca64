import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Service } from '../rpc/methods.js';
import type { PlainRoute } from './gateway/gateway.js';

export interface ApiDocsOptions {
  readonly services: readonly Service[];
  /** Of the product, for people to see. */
  readonly version: string;
}

interface Page {
  readonly body: Buffer;
  readonly etag: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * `/openapi.json` and `/docs`. Both are made at their first request and from code that is loaded no earlier: a server that
 * nobody asks for them spends nothing on them.
 */
export function createApiDocs(options: ApiDocsOptions): readonly PlainRoute[] {
  const openApi = once(async () => {
    const { createOpenApi } = await import('./openapi.js');
    return pageOf(JSON.stringify(createOpenApi(options)), { 'content-type': 'application/json; charset=utf-8' });
  });
  const docs = once(async () => {
    const [{ createOpenApi }, { createDocsPage }] = await Promise.all([
      import('./openapi.js'),
      import('./docs-page.js'),
    ]);
    const { html, policy } = createDocsPage(createOpenApi(options), options.services);
    return pageOf(html, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy,
      'referrer-policy': 'no-referrer',
    });
  });
  return [
    {
      method: 'GET',
      path: '/openapi.json',
      access: { scope: 'docs.read' },
      handle: async (request, reply) => answer(await openApi(), request, reply),
    },
    {
      method: 'GET',
      path: '/docs',
      access: { scope: 'docs.read' },
      handle: async (request, reply) => answer(await docs(), request, reply),
    },
  ];
}

/** The one result of `make`; a failure is not kept. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () =>
    (made ??= make().catch((error: unknown) => {
      made = undefined;
      throw error;
    }));
}

function pageOf(text: string, headers: Readonly<Record<string, string>>): Page {
  const body = Buffer.from(text);
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 27)}"`, headers };
}

function answer({ body, etag, headers }: Page, request: FastifyRequest, reply: FastifyReply): unknown {
  void reply.headers({ ...headers, etag, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' });
  const known = request.headers['if-none-match']?.split(',').map((each) => each.trim().replace(/^W\//, ''));
  if (known?.includes(etag) === true || known?.includes('*') === true) return reply.code(304).send();
  return reply.send(body);
}
