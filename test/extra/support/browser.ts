import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { soon } from '../../support/until.js';

/** What the browser tells of a page by itself, such as `Network.requestWillBeSent`. */
export interface PageEvent {
  readonly method: string;
  readonly params: Readonly<Record<string, unknown>>;
}

export interface Page {
  /** Everything that was told of it so far: of its console, network and log. */
  readonly events: readonly PageEvent[];
  /** Resolves when the page and all that it loads is there. */
  goTo(url: string): Promise<void>;
  /** Runs an expression in the page, waits for its promise if it is one, and answers its value as JSON has it. */
  run<T>(expression: string): Promise<T>;
}

export interface Browser {
  openPage(): Promise<Page>;
}

type Answer = { readonly result?: unknown; readonly error?: { readonly message: string } };
type Heard = Answer & { readonly id?: number; readonly sessionId?: string } & Partial<PageEvent>;
type Send = <T>(method: string, params?: object, sessionId?: string) => Promise<T>;

/** Pages of this name come from this machine, which only the browser thinks: to a server it is a foreign name. */
export const foreignHost = 'evil.test';

/** A real Chromium without a window, gone when the test has finished. Talks to nobody but this machine. */
export async function startBrowser(): Promise<Browser> {
  const profile = await mkdtemp(path.join(tmpdir(), 'muster-browser-'));
  onTestFinished(() => rm(profile, { recursive: true, force: true, maxRetries: 5 }));
  const flags = [
    '--headless=new',
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-breakpad',
    '--no-first-run',
    // What the server refuses must reach it: the browser's own refusal would prove nothing.
    '--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets',
    `--host-resolver-rules=MAP ${foreignHost} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
    '--remote-debugging-port=0',
    `--user-data-dir=${profile}`,
  ];
  const child = spawn('chromium', [...flags, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    // A group of its own, which its helpers belong to.
    detached: true,
  });
  const exit = new Promise<void>((resolve) => child.once('close', () => resolve()).once('error', () => resolve()));
  onTestFinished(async () => {
    // Its helpers end with it, but may still be writing to the profile when it has gone.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    await exit;
  });
  const { send, listen } = await openDevTools(await soon('the browser to come up', addressOf(child, exit)));

  return {
    async openPage() {
      const { targetId } = await send<{ targetId: string }>('Target.createTarget', { url: 'about:blank' });
      const { sessionId } = await send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
      const events: PageEvent[] = [];
      let loaded = (): void => undefined;
      listen(sessionId, (event) => {
        events.push(event);
        if (event.method === 'Page.loadEventFired') loaded();
      });
      for (const domain of ['Page', 'Runtime', 'Network', 'Log']) await send(`${domain}.enable`, {}, sessionId);
      return {
        events,
        async goTo(url) {
          const there = new Promise<void>((resolve) => (loaded = resolve));
          const { errorText } = await send<{ errorText?: string }>('Page.navigate', { url }, sessionId);
          if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
          await soon(`${url} to load`, there);
        },
        async run<T>(expression: string): Promise<T> {
          const params = { expression, awaitPromise: true, returnByValue: true };
          const { result, exceptionDetails } = await soon(
            expression,
            send<{ result: { value: T }; exceptionDetails?: { exception?: { description?: string } } }>(
              'Runtime.evaluate',
              params,
              sessionId,
            ),
          );
          if (exceptionDetails !== undefined) {
            throw new Error(exceptionDetails.exception?.description ?? JSON.stringify(exceptionDetails));
          }
          return result.value;
        },
      };
    },
  };
}

/** Where its DevTools listen, which it says once it does. */
function addressOf(child: ChildProcess, exit: Promise<void>): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.once('error', reject);
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const address = /DevTools listening on (ws:\S+)/.exec(said)?.[1];
      if (address !== undefined) resolve(address);
    });
    void exit.then(() => reject(new Error(`the browser ended: ${said}`)));
  });
}

/** The DevTools protocol: commands with an answer each, and events of the sessions that it was asked for. */
async function openDevTools(url: string) {
  const socket = new WebSocket(url);
  onTestFinished(() => socket.terminate());
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  const pending = new Map<number, (answer: Answer) => void>();
  const listeners = new Map<string, (event: PageEvent) => void>();
  let last = 0;
  socket.on('message', (data: Buffer) => {
    const { id, sessionId = '', method, params, ...answer } = JSON.parse(data.toString()) as Heard;
    if (id !== undefined) pending.get(id)?.(answer);
    else if (method !== undefined) listeners.get(sessionId)?.({ method, params: params ?? {} });
  });
  socket.once('close', () => pending.forEach((settle) => settle({ error: { message: 'the browser has gone' } })));

  const send: Send = <T>(method: string, params: object = {}, sessionId?: string) =>
    new Promise<T>((resolve, reject) => {
      const id = ++last;
      const settle = ({ result, error }: Answer): void => {
        pending.delete(id);
        if (error === undefined) resolve(result as T);
        else reject(new Error(`${method}: ${error.message}`));
      };
      pending.set(id, settle);
      socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  const listen = (sessionId: string, listener: (event: PageEvent) => void) => void listeners.set(sessionId, listener);
  return { send, listen };
}
