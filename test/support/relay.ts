import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A way to the server that can be cut as the kernel cuts it when a program is killed: the stream of bytes just ends. */
export async function openRelay(url: string): Promise<{ readonly url: string; readonly cut: () => void }> {
  const { hostname, port } = new URL(url);
  const towards: Socket[] = [];
  const near = createServer({ allowHalfOpen: true }, (caller) => {
    const server = connect({ host: hostname, port: Number(port), noDelay: true });
    towards.push(server);
    for (const socket of [caller, server]) socket.on('error', () => undefined);
    caller.pipe(server);
    server.pipe(caller);
    server.once('close', () => caller.destroy());
  });
  await new Promise<void>((resolve) => near.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    near.close();
    for (const socket of towards) socket.destroy();
  });
  return {
    url: `http://127.0.0.1:${(near.address() as AddressInfo).port}`,
    cut: () => towards.forEach((socket) => socket.end()),
  };
}
