import { spawn } from 'node:child_process';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';

/** `.ci/audit.mjs` as CI runs it, asking a registry of ours. */
async function audit(registry: string): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(process.execPath, ['.ci/audit.mjs'], {
    env: {
      ...process.env,
      npm_config_registry: registry,
      npm_config_fetch_retries: '0',
      npm_config_update_notifier: 'false',
    },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}

async function startRegistry(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A registry that knows of these faults, by package, and is asked about the packages in `asked`. */
function startAuditor(faults: object, asked: string[] = []): Promise<string> {
  return startRegistry((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.url !== '/-/npm/v1/security/advisories/bulk') return response.writeHead(404).end('{}');
      asked.push(...Object.keys(JSON.parse(gunzipSync(Buffer.concat(chunks)).toString()) as object));
      return response.setHeader('content-type', 'application/json').end(JSON.stringify(faults));
    });
  });
}

const fault = {
  id: 1,
  url: 'https://github.com/advisories/GHSA-test',
  title: 'Takes all',
  severity: 'low',
  vulnerable_versions: '<99.0.0',
  cwe: [],
  cvss: { score: 0, vectorString: null },
};

describe('the audit', () => {
  test('asks about what runs in production, and is content when nothing is known', async () => {
    const asked: string[] = [];
    const { code, output } = await audit(await startAuditor({}, asked));
    expect(output).toMatch(/ok, nothing is known against \d+ packages/);
    expect(code).toBe(0);
    expect(asked).toEqual(expect.arrayContaining(['pg', 'fastify', 'ws']));
    expect(asked).not.toContain('vitest');
  });

  test('fails for any fault, and says which', async () => {
    const { code, output } = await audit(await startAuditor({ pg: [fault] }));
    expect(output).toContain('low: pg <99.0.0: Takes all (https://github.com/advisories/GHSA-test)');
    expect(code).toBe(1);
  });

  test.each([404, 405, 500])('is skipped, and says so, where the registry answers %d', async (status) => {
    const { code, output } = await audit(await startRegistry((_, response) => response.writeHead(status).end()));
    expect(output).toContain(`SKIPPED: the registry answers no audit (${status} `);
    expect(code).toBe(0);
  });

  test('is skipped where there is no registry', async () => {
    const { code, output } = await audit('http://127.0.0.1:1');
    expect(output).toMatch(/SKIPPED: .*ECONNREFUSED/);
    expect(code).toBe(0);
  });

  test('fails for what is wrong with itself', async () => {
    const { code } = await audit('no URL');
    expect(code).toBe(1);
  });
});
