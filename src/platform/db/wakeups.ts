import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Log } from '../log.js';
import { createLoop } from '../loop.js';
import { within } from '../within.js';
import { connectMs, type ConnectionConfig, type Db, destroyConnection, keepAlive, type Statement } from './db.js';

/**
 * Tells the other parts of this server at once, and the other servers on the database a moment later, that something has
 * changed. Nothing is right or wrong by it: who listens also polls, so a lost wake-up costs time and no more.
 */
export interface Wakeups {
  /** Call after the commit. */
  notify(topic: string): void;
  /** Answers the function that ends the listening. */
  on(topic: string, listener: () => void): () => void;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface WakeupOptions {
  readonly connection: ConnectionConfig;
  readonly db: Db;
  readonly log: Log;
  /** False where LISTEN cannot work, such as through PgBouncer in transaction mode: servers then learn by polling alone. */
  readonly listen: boolean;
  /** How often a server says that it is there, in milliseconds; by default 5000. */
  readonly presenceMs?: number;
}

const channel = 'muster';
const gapMs = 10;
const endMs = 1000;
/** What servers that listen say now and then, and as soon as they do. */
const presence = '-';
/** How many times another server may be silent before it is taken to have gone. */
const silences = 3;
/** How many topics are remembered for whoever begins to listen. */
const maxUntold = 1000;

/** A wake-up stores nothing, so its commit need not wait for the disk, where it would hold up commits that do. */
const notify: Statement = {
  name: 'wakeups_notify',
  text: `SELECT set_config('synchronous_commit', 'off', true), pg_notify('${channel}', t || ' ' || $2)
    FROM unnest($1::text[]) t`,
};

/**
 * A server that is alone tells nobody: a NOTIFY every few milliseconds is felt by all that commits besides. What it would have told in the
 * last moments goes to whoever turns up.
 */
export function createWakeups({ connection, db, log, listen, presenceMs = 5000 }: WakeupOptions): Wakeups {
  const node = randomUUID().slice(0, 8);
  const listeners = new Map<string, Set<() => void>>();
  const outgoing = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let client: pg.Client | undefined;
  /** Not listening yet. */
  let coming: pg.Client | undefined;
  let stopped = false;
  /** When another server was last heard, or might have been there without being heard; and when this one heard itself. */
  let heardAt = performance.now();
  let heardSelfAt = -Infinity;
  let alone = false;
  /** What nobody was told of, since the last time that this server said that it is there, and before. */
  let untold = new Set<string>();
  let untoldBefore = new Set<string>();
  let beat: NodeJS.Timeout | undefined;

  function tell(topics: Iterable<string>): void {
    if (stopped) return;
    for (const topic of topics) outgoing.add(topic);
    timer ??= setTimeout(() => void send(), gapMs);
  }

  /** There is somebody, or may be. */
  function assumeOthers(): void {
    heardAt = performance.now();
    if (!alone) return;
    alone = false;
    tell([...untoldBefore, ...untold]);
  }

  function sayPresent(): void {
    const now = performance.now();
    // Who does not hear himself might not hear others either.
    alone = now - heardAt > silences * presenceMs && now - heardSelfAt < silences * presenceMs;
    untoldBefore = untold;
    untold = new Set();
    // Also when alone: where two took each other for gone, this ends it.
    tell([presence]);
  }

  function fire(topic: string): void {
    for (const listener of listeners.get(topic) ?? []) listener();
  }

  async function send(): Promise<void> {
    timer = undefined;
    const topics = [...outgoing];
    outgoing.clear();
    try {
      await db.query(notify, [topics, node]);
    } catch (error) {
      log.debug('wakeup_not_sent', { error });
    }
  }

  // Polling stands behind this, so a lost connection is no more than a reason to try again.
  const connector = createLoop({
    name: 'wakeups',
    log,
    intervalMs: 2000,
    run: async () => {
      if (client !== undefined) return;
      const fresh = new pg.Client({
        ...connection,
        application_name: 'muster listen',
        connectionTimeoutMillis: connectMs,
        query_timeout: connectMs,
        ...keepAlive,
      });
      coming = fresh;
      fresh.on('error', () => {
        if (client === fresh) client = undefined;
        heardSelfAt = -Infinity;
        assumeOthers();
        void fresh.end().catch(() => undefined);
        connector.wake();
      });
      fresh.on('notification', ({ payload = '' }) => {
        const [topic = '', sender] = payload.split(' ');
        if (sender === node) {
          heardSelfAt = performance.now();
          return;
        }
        assumeOthers();
        fire(topic);
      });
      try {
        await fresh.connect();
        await fresh.query(`LISTEN ${channel}`);
      } catch (error) {
        // A polite end would wait for the other side, which may be what did not answer.
        destroyConnection(fresh);
        throw error;
      } finally {
        coming = undefined;
      }
      if (stopped) return destroyConnection(fresh);
      client = fresh;
      assumeOthers();
      tell([presence]);
      // What was told while nobody listened.
      for (const topic of listeners.keys()) fire(topic);
    },
  });

  return {
    notify(topic) {
      fire(topic);
      if (!listen) return;
      if (!alone) tell([topic]);
      else if (untold.size < maxUntold) untold.add(topic);
    },
    on(topic, listener) {
      let set = listeners.get(topic);
      if (set === undefined) listeners.set(topic, (set = new Set()));
      set.add(listener);
      return () => {
        set.delete(listener);
        // Topics may be of one thing each, and there is no end of things.
        if (set.size === 0 && listeners.get(topic) === set) listeners.delete(topic);
      };
    },
    async start() {
      if (!listen) return;
      connector.start();
      beat ??= setInterval(sayPresent, presenceMs).unref();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      clearInterval(beat);
      // An open socket would keep the process from ending, however long the other side is silent.
      if (coming !== undefined) destroyConnection(coming);
      await connector.stop();
      if (client !== undefined && !(await within(endMs, client.end()))) destroyConnection(client);
    },
  };
}
