import { onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import type { ServerProcess } from '../../support/built-server.js';
import { soon, until } from '../../support/until.js';

/** Makes a server that is started with this environment one whose memory can be looked at. */
export const inspectable = { NODE_OPTIONS: '--inspect=127.0.0.1:0' };

/** Tells what a server holds: bytes in use when nothing is left that could be freed, however much the process keeps for itself. */
export async function openInspector(server: ServerProcess): Promise<{ bytesInUse(): Promise<number> }> {
  const url = await until('it can be inspected', () => /ws:\/\/\S+/.exec(server.stderr())?.[0]);
  const socket = new WebSocket(url);
  onTestFinished(() => socket.terminate());
  await soon('the inspector', new Promise((resolve) => socket.once('open', resolve)));
  let count = 0;
  const call = (method: string, params: object = {}): Promise<unknown> => {
    const id = ++count;
    socket.send(JSON.stringify({ id, method, params }));
    return soon(
      method,
      new Promise((resolve) => {
        const look = (data: Buffer): void => {
          const message = JSON.parse(data.toString()) as { id?: number; result?: unknown };
          if (message.id !== id) return;
          socket.off('message', look);
          resolve(message.result);
        };
        socket.on('message', look);
      }),
    );
  };
  await call('HeapProfiler.enable');
  return {
    async bytesInUse() {
      // The second one frees what finalizers of the first have let go.
      await call('HeapProfiler.collectGarbage');
      await call('HeapProfiler.collectGarbage');
      const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())';
      const { result } = (await call('Runtime.evaluate', { expression })) as { result: { value: number } };
      return result.value;
    },
  };
}
