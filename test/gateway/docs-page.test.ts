import { createHash } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { createDocsPage } from '../../src/platform/http/docs-page.js';
import { createOpenApi } from '../../src/platform/http/openapi.js';
import type { OpenApi } from '../../src/platform/http/openapi-types.js';
import { declaredStubs } from '../support/declared-services.js';
import { sharedTestApp } from '../support/shared-app.js';

const app = sharedTestApp();
let page: string;
let headers: Headers;

beforeAll(async () => {
  const response = await fetch(`${app.current.url}/docs`);
  page = await response.text();
  headers = response.headers;
});

describe('/docs', () => {
  test('is a page under a policy that lets nothing in but its own style and script', () => {
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
    const style = hashes(/<style>(.*?)<\/style>/gs);
    const script = hashes(/<script>(.*?)<\/script>/gs);
    expect(headers.get('content-security-policy')).toBe(
      `default-src 'none'; style-src ${style}; script-src ${script}; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
    );
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    // Neither would run under the policy.
    expect([...page.matchAll(/<[^>]* (?:style|on\w+)=/g)]).toEqual([]);
  });

  test('refers to no other host', () => {
    const hosts = [...page.matchAll(/(?:https?:)?\/\/([\w.-]+)/g)].map(([, host]) => host);
    expect(hosts.filter((host) => host?.includes('.') === true && host !== '127.0.0.1')).toEqual([]);
    expect([...page.matchAll(/(?:src|href|action)="([^#"][^"]*)"/g)].map(([, target]) => target)).toEqual([
      'data:,',
      '/openapi.json',
    ]);
  });

  test('links lead somewhere, and ids are unique', () => {
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const dead = [...page.matchAll(/href="#([^"]+)"/g)].map(([, id]) => id).filter((id) => !ids.includes(id));
    expect(dead).toEqual([]);
  });

  test('shows every operation, every RPC and every schema', async () => {
    const document = (await (await fetch(`${app.current.url}/openapi.json`)).json()) as OpenApi;
    const methods = (await declaredStubs()).flatMap((service) => service.methods);
    const wanted = [
      ...Object.values(document.paths).flatMap((item) => Object.values(item).map(({ operationId }) => operationId)),
      ...Object.keys(document.components.schemas).map((name) => `schema-${name}`),
      ...methods.map(({ desc }) => `${desc.parent.name}_${desc.name}`),
    ];
    expect(wanted.filter((id) => !page.includes(` id="${id}"`))).toEqual([]);
    expect(methods.map(({ path }) => path).filter((path) => !page.includes(`127.0.0.1:8080${path}</pre`))).toEqual([]);
  });

  test('answers HEAD, and 304 to who has it already', async () => {
    for (const path of ['/docs', '/openapi.json']) {
      const get = await fetch(app.current.url + path);
      const text = await get.text();
      const head = await fetch(app.current.url + path, { method: 'HEAD' });
      expect({ status: head.status, bytes: (await head.text()).length }).toEqual({ status: 200, bytes: 0 });
      expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(text)));
      const etag = get.headers.get('etag') ?? '';
      const again = await fetch(app.current.url + path, { headers: { 'if-none-match': `"other", W/${etag}` } });
      expect({ status: again.status, bytes: (await again.text()).length }).toEqual({ status: 304, bytes: 0 });
      const other = await fetch(app.current.url + path, { headers: { 'if-none-match': '"other"' } });
      expect({ status: other.status, same: (await other.text()) === text }).toEqual({ status: 200, same: true });
    }
  });
});

test('whatever the document says is text, never markup', async () => {
  const services = await declaredStubs();
  const document = createOpenApi({ services, version: '1' });
  const poisoned = poison({ ...document, tags: [] }, '') as OpenApi;
  const tagsOf = document.tags.map(({ name, description }) => ({ name, description: description + hostile }));
  const { html } = createDocsPage({ ...poisoned, tags: tagsOf }, services);
  expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
  expect(html).toContain('&amp;amp;');
  // In quotes, too.
  expect(html).not.toContain(`"'&gt;`);
  const tags = (text: string): readonly string[] => [...text.matchAll(/<\/?[a-z][a-z0-9]*/g)].map(([tag]) => tag);
  expect(new Set(tags(html))).toEqual(new Set(tags(page)));
});

const hostile = `</pre></code>"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;`;

/** The same with hostile text behind every text, but for what leads from one part of the document to another. */
function poison(value: unknown, key: string): unknown {
  if (['tags', 'x-muster-rpc', '$ref', 'type', 'in'].includes(key)) return value;
  if (typeof value === 'string') return value + hostile;
  if (Array.isArray(value)) return value.map((each) => poison(each, ''));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, poison(each, name)]));
}

function hashes(element: RegExp): string {
  return [...page.matchAll(element)]
    .map(([, text = '']) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`)
    .join(' ');
}
