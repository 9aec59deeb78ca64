import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A way to the server on which every byte towards it travels alone. Answers the URL of its near end. */
export async function openTrickle(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  const near = createServer((caller) => {
    const server = connect({ host: hostname, port: Number(port), noDelay: true });
    for (const socket of [caller, server]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    server.pipe(caller);
    void (async () => {
      for await (const chunk of caller as AsyncIterable<Buffer>) {
        for (const byte of chunk) {
          await new Promise((sent) => server.write(Uint8Array.of(byte), sent));
          await new Promise(setImmediate);
        }
      }
      server.end();
    })().catch(() => server.destroy());
  });
  await new Promise<void>((resolve) => near.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    near.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${(near.address() as AddressInfo).port}`;
}
