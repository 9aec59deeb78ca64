import { parse, type Setting, type Values } from './platform/config.js';
import { logLevels } from './platform/log.js';

function setting<T>(setting: Setting<T>): Setting<T> {
  return setting;
}

/** Every setting of the server. docs/configuration.md lists the same; a test holds the two together. */
export const serverSettings = {
  host: setting({
    env: 'MUSTER_HOST',
    flag: 'host',
    value: 'ADDRESS',
    fallback: '127.0.0.1',
    help: 'Address to listen on. Until tokens exist only loopback addresses are allowed.',
    parse: parse.text,
  }),
  port: setting({
    env: 'MUSTER_PORT',
    flag: 'port',
    value: 'PORT',
    fallback: '8080',
    help: 'Port for REST, Connect, gRPC and gRPC-Web; 0 takes a free one.',
    parse: parse.integer(0, 65_535),
  }),
  dataDir: setting({
    env: 'MUSTER_DATA_DIR',
    flag: 'data-dir',
    value: 'DIR',
    fallback: '.muster',
    help: 'Where the embedded database lives. One server at a time.',
    parse: parse.text,
  }),
  databaseUrl: setting({
    env: 'DATABASE_URL',
    flag: 'database-url',
    value: 'URL',
    fallback: '',
    help: 'A Postgres 15 or later to use instead of the embedded one, such as postgres://user:password@host/name.',
    parse: parse.optionalText,
  }),
  logLevel: setting({
    env: 'MUSTER_LOG_LEVEL',
    flag: 'log-level',
    value: 'LEVEL',
    fallback: 'info',
    help: 'Least level of the lines on stdout: debug, info, warn, error or silent.',
    parse: parse.oneOf(logLevels),
  }),
  allowedHosts: setting({
    env: 'MUSTER_ALLOWED_HOSTS',
    flag: 'allowed-hosts',
    value: 'NAMES',
    fallback: '',
    help: 'Host names, separated by commas, that requests may be addressed to besides the loopback ones.',
    parse: parse.list,
  }),
  poolSize: setting({
    env: 'MUSTER_DB_POOL_SIZE',
    flag: 'db-pool-size',
    value: 'N',
    fallback: '10',
    help: 'Most connections to the database, from 2 to 500; one more listens for wake-ups.',
    parse: parse.integer(2, 500),
  }),
  listen: setting({
    env: 'MUSTER_DB_LISTEN',
    flag: 'db-listen',
    value: 'on|off',
    fallback: 'on',
    help: 'Whether database connections are sessions of their own. Off, as behind PgBouncer in transaction mode: no LISTEN, so servers learn of changes by polling alone.',
    parse: parse.onOff,
  }),
  pollInterval: setting({
    env: 'MUSTER_POLL_INTERVAL',
    flag: 'poll-interval',
    value: 'DURATION',
    fallback: '1s',
    help: 'How often a server looks for due, overdue and waiting jobs that nobody told it of.',
    parse: parse.positive(parse.duration),
  }),
  jobRetention: setting({
    env: 'MUSTER_JOB_RETENTION',
    flag: 'job-retention',
    value: 'DURATION|off',
    fallback: '7d',
    help: 'How long finished jobs are kept; off keeps them for ever.',
    parse: parse.durationOrOff,
  }),
  eventRetention: setting({
    env: 'MUSTER_EVENT_RETENTION',
    flag: 'event-retention',
    value: 'DURATION|off',
    fallback: 'off',
    help: 'How long events are kept; off keeps them for ever.',
    parse: parse.durationOrOff,
  }),
  eventCount: setting({
    env: 'MUSTER_EVENT_LIMIT',
    flag: 'event-limit',
    value: 'N|off',
    fallback: 'off',
    help: 'How many of the newest events are kept, from 1000; off keeps all.',
    parse: parse.integerOrOff(1000, Number.MAX_SAFE_INTEGER),
  }),
  streamStall: setting({
    env: 'MUSTER_STREAM_STALL',
    flag: 'stream-stall',
    value: 'DURATION',
    fallback: '10s',
    help: 'How long a reader of events may take nothing while there is something to tell, before it is cut off.',
    parse: parse.positive(parse.duration),
  }),
  maxBody: setting({
    env: 'MUSTER_MAX_BODY',
    flag: 'max-body',
    value: 'SIZE',
    fallback: '8MiB',
    help: 'Largest body of a REST request.',
    parse: parse.positive(parse.bytes),
  }),
  maxMessage: setting({
    env: 'MUSTER_MAX_MESSAGE',
    flag: 'max-message',
    value: 'SIZE',
    fallback: '32MiB',
    help: 'Largest RPC message. JSON values take several times their text in protobuf.',
    parse: parse.positive(parse.bytes),
  }),
  shutdownGrace: setting({
    env: 'MUSTER_SHUTDOWN_GRACE',
    flag: 'shutdown-grace',
    value: 'DURATION',
    fallback: '10s',
    help: 'How long requests and streams under way may take to end when the server stops.',
    parse: parse.duration,
  }),
} as const;

export type ServerConfig = Values<typeof serverSettings>;
