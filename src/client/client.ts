import { type Client, createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { EventService } from '../../gen/muster/v1/events_pb.js';
import { GateService } from '../../gen/muster/v1/gates_pb.js';
import { HelpService } from '../../gen/muster/v1/help_service_pb.js';
import { JobService } from '../../gen/muster/v1/jobs_pb.js';
import { LearningService } from '../../gen/muster/v1/learnings_pb.js';
import { RepoService } from '../../gen/muster/v1/repos_pb.js';
import { ReviewService } from '../../gen/muster/v1/reviews_pb.js';
import { VcsService } from '../../gen/muster/v1/vcs_pb.js';
import { TaskService } from '../../gen/muster/v1/tasks_pb.js';
import { TokenService } from '../../gen/muster/v1/tokens_pb.js';
import { AppError } from '../errors.js';
import { binaryReadOptions, jsonReadOptions } from '../platform/rpc/limits.js';
import { createSession, type Session } from './session.js';
import { createUnary } from './unary.js';

export interface MusterClientOptions {
  /** Where the server listens: `http://` (HTTP/2 without TLS) or `https://`. Default `http://127.0.0.1:8080`. */
  readonly url?: string | undefined;
  /** Sent as bearer token with every call. */
  readonly token?: string | undefined;
  /** Sent with every call, too. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** How calls travel, both over HTTP/2, which streams in both directions need. Connect, the default, costs callers less. */
  readonly protocol?: 'connect' | 'grpc' | undefined;
}

/** One typed client a service; all share one HTTP/2 connection, which is opened when needed and opened anew when lost. */
export interface MusterClient {
  readonly url: string;
  readonly jobs: Client<typeof JobService>;
  readonly events: Client<typeof EventService>;
  readonly tokens: Client<typeof TokenService>;
  readonly gates: Client<typeof GateService>;
  readonly help: Client<typeof HelpService>;
  readonly learnings: Client<typeof LearningService>;
  readonly repos: Client<typeof RepoService>;
  readonly tasks: Client<typeof TaskService>;
  readonly vcs: Client<typeof VcsService>;
  readonly reviews: Client<typeof ReviewService>;
  /** Ends the connection and every call on it. */
  close(): void;
}

export const defaultUrl = 'http://127.0.0.1:8080';

/**
 * Calls reject with a ConnectError; `errorFactsOf` tells the documented word in it.
 *
 * @throws AppError `invalid_request` when the URL is none.
 */
export function createMusterClient(options: MusterClientOptions = {}): MusterClient {
  const url = baseUrlOf(options.url ?? defaultUrl);
  const session = createSession(url);
  const transport = createTransport(url, session, options);
  return {
    url,
    jobs: createClient(JobService, transport),
    events: createClient(EventService, transport),
    tokens: createClient(TokenService, transport),
    gates: createClient(GateService, transport),
    help: createClient(HelpService, transport),
    learnings: createClient(LearningService, transport),
    repos: createClient(RepoService, transport),
    tasks: createClient(TaskService, transport),
    vcs: createClient(VcsService, transport),
    reviews: createClient(ReviewService, transport),
    close: () => session.close(),
  };
}

function createTransport(url: string, sessionManager: Session, options: MusterClientOptions): Transport {
  const headers = headersOf(options);
  const common = {
    baseUrl: url,
    sessionManager,
    interceptors: [sending(headers)],
    binaryOptions: binaryReadOptions,
    jsonOptions: jsonReadOptions,
    // Answers are small or near by; squeezing them takes longer than sending them.
    acceptCompression: [],
  };
  if (options.protocol === 'grpc') return createGrpcTransport(common);
  const { stream } = createConnectTransport({ ...common, httpVersion: '2', useBinaryFormat: true });
  return { unary: createUnary({ url, session: sessionManager, headers }), stream };
}

function headersOf({ token, headers = {} }: MusterClientOptions): Readonly<Record<string, string>> {
  return token === undefined ? headers : { ...headers, authorization: `Bearer ${token}` };
}

function sending(headers: Readonly<Record<string, string>>): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
}

function baseUrlOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.host === '') {
    throw new AppError('invalid_request', `url: '${text}' is no URL such as ${defaultUrl}`, {
      details: { field: 'url' },
    });
  }
  return url.href.replace(/\/+$/, '');
}
