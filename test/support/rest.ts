import { Agent, type IncomingMessage, request } from 'node:http';

export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body as JSON; undefined without one. */
  readonly json: unknown;
}

const agent = new Agent({ keepAlive: true });

/** A REST call as a user makes it; an object as `body` goes as JSON. By hand, since `fetch` takes three times as long for it. */
export async function rest(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<RestAnswer> {
  const sent = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const hasBody = sent !== undefined || !/^(GET|HEAD|OPTIONS)$/.test(method);
  const { response, text } = await exchange(
    new URL(url + path),
    {
      method,
      agent,
      headers: {
        accept: '*/*',
        ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
        ...(hasBody && { 'content-length': Buffer.byteLength(sent ?? '') }),
        ...headers,
      },
    },
    sent,
  );
  return {
    status: response.statusCode ?? 0,
    headers: headersOf(response),
    text,
    json: text === '' ? undefined : (JSON.parse(text) as unknown),
  };
}

function exchange(
  url: URL,
  options: Parameters<typeof request>[1],
  body: string | undefined,
): Promise<{ readonly response: IncomingMessage; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(url, options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => resolve({ response, text: Buffer.concat(chunks).toString() }));
    });
    call.on('error', reject);
    call.end(body);
  });
}

function headersOf({ rawHeaders }: IncomingMessage): Headers {
  const headers = new Headers();
  for (let at = 0; at < rawHeaders.length; at += 2) headers.append(rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '');
  return headers;
}
