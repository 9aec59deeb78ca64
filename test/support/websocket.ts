import { onTestFinished } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { patienceMs } from './until.js';

/** A message of ours, whatever its type. */
export type WsMessage = {
  readonly type: string;
  readonly event?: { readonly seq: number };
  readonly [key: string]: unknown;
};

/** A WebSocket as a program uses it. */
export interface TestSocket {
  readonly socket: WebSocket;
  readonly messages: readonly WsMessage[];
  /** Rejects with the status of the refusal and its body. */
  readonly opened: Promise<void>;
  /** The code with which the server closed it. */
  readonly closed: Promise<number>;
  send(message: unknown): void;
  until<T>(what: string, look: (messages: readonly WsMessage[]) => T | undefined | false): Promise<T>;
}

export class UpgradeRefused extends Error {
  readonly status: number;
  readonly json: unknown;

  constructor(status: number, text: string) {
    super(`${status} ${text}`);
    this.status = status;
    this.json = text === '' ? undefined : JSON.parse(text);
  }
}

export function openWebSocket(url: string, path: string, options: ClientOptions = {}): TestSocket {
  const socket = new WebSocket(url.replace(/^http/, 'ws') + path, options);
  onTestFinished(() => socket.terminate());
  const messages: WsMessage[] = [];
  const waiting = new Set<() => void>();
  let over = false;
  const tell = (): void => waiting.forEach((look) => look());
  const opened = new Promise<void>((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
    socket.once('unexpected-response', (_request, response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () => reject(new UpgradeRefused(response.statusCode ?? 0, text)));
    });
  });
  opened.catch(() => undefined);
  socket.on('error', () => undefined);
  socket.on('message', (data: Buffer) => {
    messages.push(JSON.parse(data.toString()) as WsMessage);
    tell();
  });
  const closed = new Promise<number>((resolve) => socket.once('close', (code) => resolve(code)));
  void closed.then(() => {
    over = true;
    tell();
  });
  return {
    socket,
    messages,
    opened,
    closed,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    until: (what, look) =>
      new Promise((resolve, reject) => {
        const settle = (answer: () => void): void => {
          clearTimeout(late);
          waiting.delete(again);
          answer();
        };
        const again = (): void => {
          const seen = look(messages);
          if (seen !== undefined && seen !== false) settle(() => resolve(seen));
          else if (over)
            settle(() => reject(new Error(`closed before ${what}: ${JSON.stringify(messages.slice(-3))}`)));
        };
        const late = setTimeout(
          () => settle(() => reject(new Error(`waited in vain until ${what}; heard ${messages.length}`))),
          patienceMs,
        );
        waiting.add(again);
        again();
      }),
  };
}
