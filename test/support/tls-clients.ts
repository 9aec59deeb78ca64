import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { Agent, request } from 'node:https';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { onTestFinished } from 'vitest';

export interface TlsAnswer {
  readonly status: number;
  readonly text: string;
  /** The common name in the certificate of the server that answered. */
  readonly server: string;
}

/** A caller of HTTP/1.1 that trusts `ca` and keeps its connection for the next call. */
export interface TlsCaller {
  call(method: string, path: string, body?: unknown): Promise<TlsAnswer>;
  close(): void;
}

export function openTlsCaller(url: string, ca: string): TlsCaller {
  const agent = new Agent({ ca, keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  return {
    call: (method, path, body) =>
      new Promise((resolve, reject) => {
        const headers = body === undefined ? {} : { 'content-type': 'application/json' };
        const sent = request(url + path, { method, agent, headers }, (response) => {
          const server = commonNameOf(response.socket as TLSSocket);
          let text = '';
          response.setEncoding('utf8').on('data', (piece: string) => (text += piece));
          response.once('end', () => resolve({ status: response.statusCode ?? 0, text, server }));
          response.once('error', reject);
        });
        sent.once('error', reject);
        sent.end(body === undefined ? undefined : JSON.stringify(body));
      }),
    close: () => agent.destroy(),
  };
}

/** An HTTP/2 session over TLS for hand-made requests. */
export function openTlsSession(url: string, ca: string): ClientHttp2Session {
  const session = connectHttp2(url, { ca });
  session.on('error', () => undefined);
  onTestFinished(() => session.destroy());
  return session;
}

/** Shakes hands and no more. Rejects with the alert when the server will not. */
export async function handshake(url: string, options: ConnectionOptions): Promise<TLSSocket> {
  const { hostname, port } = new URL(url);
  const socket = connectTls({ host: hostname, port: Number(port), ...options });
  onTestFinished(() => void socket.destroy());
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  socket.on('error', () => undefined);
  return socket;
}

export function commonNameOf(socket: TLSSocket): string {
  return String(socket.getPeerCertificate().subject.CN);
}
