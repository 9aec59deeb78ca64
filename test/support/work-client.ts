import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { type ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { onTestFinished } from 'vitest';
import {
  type JobOutcome,
  JobOutcomeSchema,
  JobService,
  JobStatus,
  type StoppedJob,
  type WorkJob,
  type WorkRequestSchema,
  type WorkStartSchema,
  type WorkUpdateSchema,
} from '../../gen/muster/v1/jobs_pb.js';
import { createLookout } from './until.js';

type Request = MessageInitShape<typeof WorkRequestSchema>;

/** All that the server has said on a stream so far. */
export interface Heard {
  readonly started: number;
  readonly jobs: WorkJob[];
  /** Completions that were stored are among them, with no lease token. */
  readonly outcomes: JobOutcome[];
  readonly stopped: StoppedJob[];
  readonly drains: number;
  /** Set when the stream is over: undefined within when it ended well. */
  readonly over: { readonly error: ConnectError | undefined } | undefined;
}

/** One worker on its Work stream, over gRPC and a connection of its own. */
export interface WorkStream {
  readonly heard: Heard;
  update(update: MessageInitShape<typeof WorkUpdateSchema>): void;
  /** Sends a message as it is, also one that is out of order. */
  send(message: Request): void;
  /** Resolves when `look` finds something in what was heard; rejects when the stream ends first. */
  until<T>(what: string, look: (heard: Heard) => T | undefined | false): Promise<T>;
  /** Ends the worker's side: it will say no more. */
  end(): void;
  /** Resets the stream, as a client does that gives the call up. */
  cancel(): void;
  /** Breaks the connection, as a worker's death does. */
  breakOff(): void;
  readonly over: Promise<ConnectError | undefined>;
}

export interface WorkStreamOptions {
  /** Tells when messages are to be read no more, to play a reader that stalls. */
  readonly stalled?: (heard: Heard) => boolean;
}

/** Opens a stream without saying anything yet. */
export function openWorkStream(url: string, options: WorkStreamOptions = {}): WorkStream {
  const sessions = new Http2SessionManager(url);
  const client = createClient(JobService, createGrpcTransport({ baseUrl: url, sessionManager: sessions }));
  const given = new AbortController();
  const heard = {
    started: 0,
    jobs: [] as WorkJob[],
    outcomes: [] as JobOutcome[],
    stopped: [] as StoppedJob[],
    drains: 0,
    over: undefined as Heard['over'],
  };
  const requests = createMailbox<Request>();
  const lookout = createLookout<Heard>(
    heard,
    () => heard.over && String(heard.over.error?.message),
    () => summary(heard),
  );

  async function listen(): Promise<ConnectError | undefined> {
    try {
      for await (const message of client.work(requests, { signal: given.signal })) {
        if (message.started !== undefined) heard.started = message.started.leaseSec;
        heard.jobs.push(...message.jobs);
        heard.outcomes.push(...message.outcomes, ...message.completed.map(done));
        heard.stopped.push(...message.stopped);
        if (message.drain) heard.drains += 1;
        lookout.tell();
        if (options.stalled?.(heard) === true) await new Promise(() => undefined);
      }
      heard.over = { error: undefined };
    } catch (error) {
      heard.over = { error: error as ConnectError };
    }
    lookout.tell();
    sessions.abort();
    return heard.over.error;
  }
  const over = listen();
  onTestFinished(() => {
    given.abort();
    sessions.abort();
  });

  return {
    heard,
    over,
    send: (message) => requests.put(message),
    update: (update) => requests.put({ message: { case: 'update', value: update } }),
    until: lookout.until,
    end: () => requests.end(),
    cancel: () => given.abort(),
    breakOff: () => sessions.abort(),
  };
}

/** A stream that has said what it can do and been welcomed. */
export async function startWorker(
  url: string,
  start: MessageInitShape<typeof WorkStartSchema>,
  options?: WorkStreamOptions,
): Promise<WorkStream> {
  const stream = openWorkStream(url, options);
  stream.send({ message: { case: 'start', value: { workerId: 'test', capacity: 1, ...start } } });
  await stream.until('it was welcomed', ({ started }) => started > 0);
  return stream;
}

function done(id: string): JobOutcome {
  return create(JobOutcomeSchema, { id, status: JobStatus.DONE });
}

function summary({ jobs, outcomes, stopped, drains }: Heard): string {
  return `${jobs.length} jobs, ${outcomes.length} outcomes, ${stopped.length} stops, ${drains} drains`;
}

/** An endless list that is filled while it is read. */
function createMailbox<T>(): AsyncIterable<T> & { put(item: T): void; end(): void } {
  const items: T[] = [];
  let ended = false;
  let wake = (): void => undefined;
  return {
    put(item) {
      items.push(item);
      wake();
    },
    end() {
      ended = true;
      wake();
    },
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const item = items.shift();
        if (item !== undefined) yield item;
        else if (ended) return;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
