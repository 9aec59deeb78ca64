import { onTestFinished } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import { createLookout } from './until.js';

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
  let over = false;
  const lookout = createLookout(
    messages as readonly WsMessage[],
    () => (over ? JSON.stringify(messages.slice(-3)) : undefined),
    () => `${messages.length} messages`,
  );
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
    lookout.tell();
  });
  const closed = new Promise<number>((resolve) => socket.once('close', (code) => resolve(code)));
  void closed.then(() => {
    over = true;
    lookout.tell();
  });
  return {
    socket,
    messages,
    opened,
    closed,
    send: (message) => socket.send(typeof message === 'string' ? message : JSON.stringify(message)),
    until: lookout.until,
  };
}
