import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Api, type ApiKind, failure, type Headers, protoJson, view } from './api.js';
import { readInfo } from './error-info.js';

/** buf's own client, a program written in Go. */
export const bufCurlApis: readonly ApiKind[] = [
  ['--protocol', 'connect'],
  ['--protocol', 'grpc', '--http2-prior-knowledge'],
  ['--protocol', 'grpcweb'],
].map((flags) => ({ name: `buf curl, ${flags[1]}`, open: (url) => open(url, flags) }));

/** The program itself: what npm puts in its place starts Node before it. */
const [platform = ''] = readdirSync('node_modules/@bufbuild').filter((name) => name.startsWith('buf-'));
const buf = path.join('node_modules/@bufbuild', platform, 'bin/buf');

let image = '';

/** The schema, read once: from the sources each call would compile them. */
export function schemaImage(): string {
  if (image === '') {
    image = path.join(mkdtempSync(path.join(tmpdir(), 'muster-test-')), 'schema.binpb');
    execFileSync(buf, ['build', '-o', image]);
    process.once('exit', () => rmSync(path.dirname(image), { recursive: true, force: true }));
  }
  return image;
}

function open(url: string, flags: readonly string[]): Api {
  return {
    async call(method, request, headers: Headers = {}) {
      const { code, stdout, stderr } = await runBuf(
        [
          ...['curl', '--schema', schemaImage(), '--emit-defaults', ...flags],
          ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
          ...['-d', '@-', `${url}/muster.v1.JobService/${method}`],
        ],
        JSON.stringify(protoJson(request)),
      );
      if (code === 0) return { ok: view(JSON.parse(stdout)) };
      const error = JSON.parse(stderr) as {
        code: string;
        message: string;
        details: { type: string; value: string; debug?: unknown }[];
      };
      const info = error.details.find(({ type }) => type === 'muster.v1.ErrorInfo');
      if (info === undefined) throw new Error(stderr);
      return failure(readInfo(Buffer.from(info.value, 'base64')), error.code, error.message);
    },
    close: () => undefined,
  };
}

/** Runs buf with these arguments. */
export function runBuf(
  args: readonly string[],
  input: string,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(buf, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
    // It may end before it has read everything, such as on a bad flag.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}
