// Unary gRPC load at next to no cost for the sender. A @grpc/grpc-js client needs more CPU per call than the servers
// under test, so behind it every server looks alike. This one sends frames that were encoded beforehand and reads
// nothing of an answer but its frame headers; one real call at the start proves that the answer is right.

import { once } from 'node:events';
import { connect } from 'node:net';
import grpc from '@grpc/grpc-js';
import { answer, childOptions } from './child.mjs';
import {
  createRequestEncoder,
  createFrameReader,
  FRAME,
  PREFACE,
  SETTINGS_ACK,
  windowUpdate,
  pong,
} from './h2-frames.mjs';
import { loadService } from './proto.mjs';

const WINDOW_STEP = 2 ** 24;

const { port, service, method, request, concurrency, channels, seconds } = childOptions();

const Client = loadService(service);
const { path, requestSerialize, responseDeserialize } = Client.service[method];
const expectedBytes = await bytesOfOneRealAnswer();

const latencies = [];
const started = performance.now();
const deadline = started + seconds * 1000;
await Promise.all(Array.from({ length: channels }, () => runChannel(concurrency / channels)));
const elapsed = (performance.now() - started) / 1000;

latencies.sort((a, b) => a - b);
const percentile = (share) => latencies[Math.floor(latencies.length * share)];
answer({ answers: latencies.length, rate: latencies.length / elapsed, p50: percentile(0.5), p99: percentile(0.99) });

async function bytesOfOneRealAnswer() {
  const client = new Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  let bytes = 0;
  await new Promise((resolve, reject) => {
    const count = (buffer) => {
      bytes = buffer.length;
      return responseDeserialize(buffer);
    };
    client.makeUnaryRequest(path, requestSerialize, count, request, (error) => (error ? reject(error) : resolve()));
  });
  client.close();
  // The five bytes are gRPC's own message prefix.
  return bytes + 5;
}

// Keeps `outstanding` calls under way on one connection until the deadline; resolves when the last one is answered.
async function runChannel(outstanding) {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  await once(socket, 'connect');
  const encode = createRequestEncoder({ authority: `127.0.0.1:${port}`, path, message: requestSerialize(request) });
  const open = new Map();
  let nextStream = 1;
  let unacknowledged = 0;

  function call() {
    open.set(nextStream, { begin: performance.now(), bytes: 0 });
    socket.write(encode(nextStream));
    nextStream += 2;
  }

  function ended(stream) {
    const { begin, bytes } = open.get(stream);
    open.delete(stream);
    if (bytes !== expectedBytes)
      return socket.destroy(new Error(`an answer of ${bytes} bytes, not of ${expectedBytes}`));
    const now = performance.now();
    latencies.push(now - begin);
    if (now < deadline) call();
    else if (open.size === 0) socket.destroy();
  }

  const read = createFrameReader((type, flags, stream, payload) => {
    if (type === FRAME.DATA) {
      unacknowledged += payload.length;
      open.get(stream).bytes += payload.length;
    } else if (type === FRAME.SETTINGS && !(flags & FRAME.ACK)) socket.write(SETTINGS_ACK);
    else if (type === FRAME.PING && !(flags & FRAME.ACK)) socket.write(pong(payload));
    else if (type === FRAME.RST_STREAM || type === FRAME.GOAWAY) socket.destroy(new Error(`frame of type ${type}`));
    if ((type === FRAME.DATA || type === FRAME.HEADERS) && flags & FRAME.END_STREAM) ended(stream);
  });

  socket.on('data', (chunk) => {
    // One write for all the calls that one chunk of answers sets off.
    socket.cork();
    read(chunk);
    if (unacknowledged > WINDOW_STEP) {
      socket.write(windowUpdate(unacknowledged));
      unacknowledged = 0;
    }
    socket.uncork();
  });

  socket.cork();
  socket.write(PREFACE);
  for (let n = 0; n < outstanding; n += 1) call();
  socket.uncork();
  await once(socket, 'close');
}
