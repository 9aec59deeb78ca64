import { type Attributes, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { type ExportResult, ExportResultCode, parseTraceParent } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace';
import type { AppError } from '../errors.js';
import type { Log } from './log.js';
import type { Way } from './rpc/call.js';
import type { ObserveCall } from './rpc/dispatch.js';
import { errorCodes } from './rpc/error-codes.js';
import { within } from './within.js';

/** Tells an OpenTelemetry collector of every call. Loaded only by servers that have one. */
export interface Tracing {
  readonly observe: ObserveCall;
  /** Sends what is left, for a few seconds at most. */
  stop(): Promise<void>;
}

/**
 * An export with all its retries. Short, since the SDK's timers hold a process that is to end; a collector that takes longer loses
 * spans, and nobody waits for it.
 */
const exportMs = 2000;
const stopMs = exportMs + 500;

/** The SDK reads where to send to, with which headers, and its resource from the variables OTEL_*. */
export function createTracing(version: string, log: Log): Tracing {
  const own = resourceFromAttributes({ 'service.name': 'muster', 'service.version': version });
  const exporter = loggedExporter(new OTLPTraceExporter({ timeoutMillis: exportMs }), log);
  const provider = new TracerProvider({
    resource: own.merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [new BatchSpanProcessor({ exporter, exportTimeoutMillis: stopMs })],
  });
  const tracer = provider.getTracer('muster', version);

  return {
    observe({ path }, { correlationId, traceparent, way }) {
      const parent = traceparent === undefined ? null : parseTraceParent(traceparent);
      const context =
        parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true });
      const attributes = { ...attributesOf(path, way), 'muster.correlation_id': correlationId };
      const span = tracer.startSpan(nameOf(path, way), { kind: SpanKind.SERVER, attributes }, context);
      return (error) => {
        span.setAttributes(outcomeOf(error, way));
        // As the conventions have it: what is the caller's fault is no error of a server's span.
        if (error !== undefined && errorCodes[error.kind].status >= 500) {
          span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
        }
        span.end();
      };
    },
    async stop() {
      await within(stopMs, provider.shutdown());
    },
  };
}

function nameOf(path: string, way: Way | undefined): string {
  return way?.httpMethod === undefined ? path.slice(1) : `${way.httpMethod} ${way.route}`;
}

function attributesOf(path: string, way: Way | undefined): Attributes {
  const [, service, method] = /^\/([^/]+\.[^/]+)\/([^/]+)$/.exec(path) ?? [];
  return {
    ...(service !== undefined && { 'rpc.service': service, 'rpc.method': method }),
    ...(way !== undefined && { 'muster.transport': way.transport }),
    ...(way?.httpMethod === undefined
      ? { 'rpc.system': way?.transport === 'connect' ? 'connect_rpc' : 'grpc' }
      : { 'http.request.method': way.httpMethod, 'http.route': way.route }),
  };
}

/** The HTTP status of what went well is the route's own, so only that of an error is told. */
function outcomeOf(error: AppError | undefined, way: Way | undefined): Attributes {
  const known = error === undefined ? undefined : errorCodes[error.kind];
  return {
    ...(error !== undefined && { 'error.type': error.kind }),
    ...(way?.httpMethod !== undefined && known !== undefined && { 'http.response.status_code': known.status }),
    ...(way?.transport.startsWith('grpc') === true && { 'rpc.grpc.status_code': known?.code ?? 0 }),
  };
}

/** Says once that the collector takes nothing, and once that it does so again. */
function loggedExporter(exporter: SpanExporter, log: Log): SpanExporter {
  let failing = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result: ExportResult) => {
        const failed = result.code !== ExportResultCode.SUCCESS;
        if (failed && !failing) log.warn('traces_not_exported', { spans: spans.length, error: result.error });
        if (!failed && failing) log.info('traces_exported_again');
        failing = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
  };
}
