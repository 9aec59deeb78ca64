import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { Http2SessionManager } from '@connectrpc/connect-node';
import { onTestFinished } from 'vitest';
import { ErrorInfoSchema } from '../../../gen/muster/v1/errors_pb.js';
import { JobService } from '../../../gen/muster/v1/jobs_pb.js';
import { transports } from './connect-api.js';

export type TransportName = keyof typeof transports;

/** A generated client; `breakOff` cuts its HTTP/2 session, which also happens when the test has finished. */
export function openClient(
  url: string,
  name: TransportName,
): { readonly client: Client<typeof JobService>; readonly breakOff: () => void } {
  const sessions = new Http2SessionManager(url);
  onTestFinished(() => sessions.abort());
  return { client: createClient(JobService, transports[name](url, sessions)), breakOff: () => sessions.abort() };
}

/** How a call or a stream failed: the general code, our word for it, the field that it names. */
export async function failureOf(
  call: Promise<unknown>,
): Promise<{ code: string | undefined; error: string | undefined; field?: unknown }> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason),
  );
  const info = error?.findDetails(ErrorInfoSchema)[0];
  const field = info?.details?.['field'];
  return { code: error && Code[error.code], error: info?.error, ...(field === undefined ? {} : { field }) };
}
