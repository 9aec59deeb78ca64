import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

/** One process at the moment of a look. `pid` and `start` together name it; a pid alone may be given to another. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  /** Elsewhere than on Linux the same as the group, which is all that `ps` shows. */
  readonly session: number;
  /** Only compared: equal for the same process, never less for a child than for its ancestor. */
  readonly start: number;
  readonly state: 'alive' | 'stopped' | 'dead';
}

/** The system's processes. The functions throw when nothing can be said at the moment (no file descriptors left). */
export interface ProcessTable {
  list(): ProcessEntry[];
  find(pid: number): ProcessEntry | undefined;
  /** Undefined when it cannot be told at this instant. */
  isMarked(pid: number, mark: RunMark): boolean | undefined;
  /** The youngest pid given out, where it is known: as long as it stays the same, nothing was forked. */
  lastPid(): string | undefined;
  /** Arguments for /bin/sh that run the command, marked as far as the system lets processes be marked. */
  shellArguments(command: string, mark: RunMark): string[];
}

/** What every process of one run inherits, and no other process has. */
export interface RunMark {
  readonly id: string;
  readonly limitKiB: number;
}

export function createRunMark(): RunMark {
  return runMarkFrom(randomBytes(32));
}

/** Always the same for the same name, so that whoever knows the name finds what is left of a run that another process began. */
export function runMarkOf(name: string): RunMark {
  return runMarkFrom(createHash('sha256').update(`muster run ${name}`).digest());
}

function runMarkFrom(bytes: Buffer): RunMark {
  const id = bytes.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
  // Far above any memory, so that nobody who reads it as a limit feels it, and below 2^63 in bytes.
  return { id, limitKiB: 2 ** 51 + bytes.readUIntBE(16, 6) };
}

export interface RootProcess {
  readonly pid: number;
  /** True once its exit status was collected: from then on its pid may be given to another process. */
  isReaped(): boolean;
}

export interface ProcessTree {
  /** True when the first process has ended, though its exit may not have been reported yet. */
  rootHasEnded(): boolean;
  /** Waits until no process of the tree is left; false if some are after `limitMs`. */
  waitUntilGone(limitMs: number): Promise<boolean>;
  /**
   * SIGTERM to all, once; then like `waitUntilGone`. What is started after that is left alone until `kill`: it may be
   * a program's clean-up.
   */
  terminate(graceMs: number): Promise<boolean>;
  /** SIGKILL to all. Returns the pids that would not end in `limitMs` (another user's, or stuck in the kernel). */
  kill(limitMs: number): Promise<readonly number[]>;
}

const freezeRounds = 20;
const emptyLooks = 5;

/**
 * The processes that stem from `root`, which must be the leader of its own session. A process belongs to the tree if
 * it was seen to belong before, is in root's session, descends from a member, or carries the mark. No other process
 * is ever signalled, and pid and start time are compared again right before each signal.
 *
 * @param root undefined when nobody is left who knows which it was: then there are the mark and descent.
 */
export function createProcessTree(table: ProcessTable, root: RootProcess | undefined, mark: RunMark): ProcessTree {
  const born = root === undefined ? 0 : startOf(table, root.pid);
  let members: ProcessEntry[] = [];
  const known = new Map(root === undefined ? [] : [[root.pid, born]]);
  let sessionIsOurs = root !== undefined;
  let isUnsure = false;

  function look(): ProcessEntry[] {
    // Nothing older than root can stem from it; that spares most of the reading for marks.
    const candidates = table.list().filter(({ pid, start }) => start >= born && pid > 1 && pid !== process.pid);
    // A number stays taken as long as anyone is in the session. Once nobody is, it may come back as another's.
    sessionIsOurs &&= born === 0 || !candidates.some(({ pid, start }) => pid === root?.pid && start !== born);

    const found = new Map<number, ProcessEntry>();
    const add = (belongs: (entry: ProcessEntry) => boolean): void => {
      for (const entry of candidates) {
        if (entry.state !== 'dead' && !found.has(entry.pid) && belongs(entry)) found.set(entry.pid, entry);
      }
    };
    const addDescendants = (): void => {
      for (let before = -1; before !== found.size;) {
        before = found.size;
        add(({ parent }) => found.has(parent));
      }
    };
    add(({ pid, start, session }) => known.get(pid) === start || (sessionIsOurs && session === root?.pid));
    addDescendants();
    isUnsure = false;
    add(({ pid }) => {
      const isMarked = table.isMarked(pid, mark);
      isUnsure ||= isMarked === undefined;
      return isMarked === true;
    });
    addDescendants();

    members = [...found.values()].sort((a, b) => a.start - b.start || a.pid - b.pid);
    for (const { pid, start } of members) known.set(pid, start);
    if (isReaped()) sessionIsOurs &&= members.some(({ session }) => session === root?.pid);
    return members;
  }

  function isReaped(): boolean {
    return root === undefined || root.isReaped();
  }

  function isGone(): boolean {
    // A process may fork behind the look's back and be gone when its turn comes. So "none" needs a look during which
    // nothing was forked; on a machine that forks all the time, several looks in a row must do.
    for (let looks = 0; looks < emptyLooks; looks += 1) {
      const lastPid = table.lastPid();
      if (look().length > 0 || isUnsure) return false;
      if (table.lastPid() === lastPid) break;
    }
    return isReaped();
  }

  function isStill(entry: ProcessEntry): boolean {
    const now = table.find(entry.pid);
    return now?.start === entry.start && now.state !== 'dead';
  }

  function send(entry: ProcessEntry, signal: NodeJS.Signals): void {
    if (isStill(entry)) signalUnchecked(entry.pid, signal);
  }

  /** Root's group gets it at once, so that none there can fork in between; the other entries one by one. */
  function sendToGroupAnd(entries: readonly ProcessEntry[], signal: NodeJS.Signals): void {
    // The number can only have become another's if a process was born under it.
    const isOurs = root !== undefined && (!isReaped() || (sessionIsOurs && table.find(root.pid) === undefined));
    if (isOurs) signalUnchecked(-root.pid, signal);
    for (const entry of entries) if (!isOurs || entry.group !== root.pid) send(entry, signal);
  }

  /** Stops everyone before anyone is killed: who is stopped forks no more, and parent links break only by dying. */
  function freeze(): void {
    const frozen = new Set<string>();
    for (let round = 0; round < freezeRounds; round += 1) {
      const fresh = look().filter((entry) => !frozen.has(nameOf(entry)));
      if (fresh.length === 0) return;
      sendToGroupAnd(fresh, 'SIGSTOP');
      for (const entry of fresh) frozen.add(nameOf(entry));
    }
  }

  return {
    // Not seen is not ended: until Node has reaped it, it is at least a zombie.
    rootHasEnded: () => root === undefined || isReaped() || succeeds(() => table.find(root.pid)?.state === 'dead'),

    waitUntilGone: (limitMs) => until(isGone, limitMs),

    terminate(graceMs) {
      let isTold = false;
      return until(() => {
        if (isGone()) return true;
        if (isTold) return false;
        isTold = true;
        sendToGroupAnd(members, 'SIGTERM');
        // A stopped process would learn of it only when it is continued.
        for (const entry of members) if (entry.state === 'stopped') send(entry, 'SIGCONT');
        return false;
      }, graceMs);
    },

    async kill(limitMs) {
      const gone = await until(() => {
        if (isGone()) return true;
        freeze();
        sendToGroupAnd(members, 'SIGKILL');
        return false;
      }, limitMs);
      return gone || succeeds(isGone) ? [] : members.map(({ pid }) => pid);
    },
  };
}

/** 0, which is older than everything, when it cannot be read: root runs already, so failing would leave it behind. */
function startOf(table: ProcessTable, pid: number): number {
  try {
    return table.find(pid)?.start ?? 0;
  } catch {
    return 0;
  }
}

function nameOf(entry: ProcessEntry): string {
  return `${entry.pid}/${entry.start}`;
}

function signalUnchecked(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Gone in the meantime, or another user's; the next look shows which.
  }
}

/** Looks less and less often, the rarer the longer a look takes: `done` blocks the whole process. */
async function until(done: () => boolean, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (let pause = 5; ; pause = Math.min(pause * 2, 100)) {
    const before = performance.now();
    if (succeeds(done)) return true;
    const now = performance.now();
    if (now >= deadline) return false;
    await delay(Math.min(Math.max(pause, Math.min(9 * (now - before), 250)), deadline - now));
  }
}

function succeeds(done: () => boolean): boolean {
  try {
    return done();
  } catch {
    // The table could not be read for the moment; whoever may be in it is not gone.
    return false;
  }
}
