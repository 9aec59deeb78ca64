import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/** What a process is to become. */
export interface Start {
  readonly program: string;
  readonly args: readonly string[];
  /** An absolute path. */
  readonly cwd: string;
  /** Besides the environment that all spares have. */
  readonly env: Readonly<Record<string, string>>;
  /** Whether something is written to it. */
  readonly hasInput: boolean;
}

/** A process in a group of its own, so that all of it can be killed, and Ctrl+C at a terminal leaves it alone. */
export interface Started {
  readonly child: ChildProcess;
  /** Undefined where it has no input. */
  readonly stdin: Writable | undefined;
  /** Null where it could not be started. */
  readonly stdout: Readable | null;
  readonly stderr: Readable | null;
}

/**
 * Processes that wait to become a program. Node forks to start one, and the kernel then copies the page tables of all the memory that
 * the server has, which takes it longer than most of what git is asked for; and meanwhile nothing else is done. A spare was forked
 * while nobody waited: a shell, which is told by a script what to become and then is that program, of the same process id. One that
 * nobody needs any more, as when the server is killed, reads the end of its script and ends.
 */
export interface Spares {
  /** Undefined when none is at hand. Others take their place a moment later. */
  take(start: Start): Started | undefined;
  /** Makes sure that there are as many as there should be. */
  fill(): void;
}

/** How a spare ends when it cannot become the program, as shells have it. */
export const notStarted: ReadonlySet<number | null> = new Set([126, 127]);

const stdio = ['pipe', 'pipe', 'pipe', 'pipe'] as const;
/** To fork at once would hold up the caller who has just taken one: what that one does is often done sooner. */
const refillMs = 50;

export function createSpares(count: number, env: Readonly<Record<string, string>>): Spares {
  const spares = new Set<ChildProcess>();
  let refill: NodeJS.Timeout | undefined;

  function add(): void {
    const child = spawn('/bin/sh', [], { cwd: '/', env, stdio: [...stdio], detached: true });
    const drop = (): void => void spares.delete(child);
    // One that cannot be had is done without, and so is one that somebody ends.
    child.once('error', drop).once('exit', drop);
    // Where there is no room for another process it has not even pipes.
    if (child.pid === undefined) return;
    hold(child, false);
    spares.add(child);
  }

  function fill(): void {
    refill = undefined;
    for (let missing = count - spares.size; missing > 0; missing -= 1) add();
  }

  return {
    take(start) {
      const script = scriptOf(start);
      refill ??= setTimeout(fill, refillMs).unref();
      const [child] = spares;
      if (child === undefined) return undefined;
      spares.delete(child);
      hold(child, true);
      return become(child, script, start.hasInput);
    },
    fill,
  };
}

/** Whether the server may end meanwhile. */
function hold(child: ChildProcess, held: boolean): void {
  const how = held ? 'ref' : 'unref';
  child[how]();
  for (const stream of child.stdio) (stream as { ref?(): void; unref?(): void } | null)?.[how]?.();
}

function become(child: ChildProcess, text: string, hasInput: boolean): Started {
  const [script, stdout, stderr, stdin] = child.stdio as unknown as [Writable, Readable, Readable, Writable];
  // EPIPE: it has been killed. Its end tells.
  for (const stream of [script, stdin]) stream.on('error', () => undefined);
  script.end(text);
  if (!hasInput) stdin.destroy();
  return { child, stdin: hasInput ? stdin : undefined, stdout, stderr };
}

function scriptOf({ program, args, cwd, env, hasInput }: Start): string {
  const set = Object.entries(env).map(([name, value]) => `${name}=${quoted(value)}`);
  const command = [program, ...args].map(quoted).join(' ');
  return [
    `cd ${quoted(cwd)} || exit 126`,
    // What shells set by themselves.
    'unset PWD OLDPWD SHLVL',
    ...(set.length > 0 ? [`export ${set.join(' ')}`] : []),
    `exec ${command} <${hasInput ? '&3' : '/dev/null'} 3<&-\n`,
  ].join('\n');
}

/** As a word of a shell, in which nothing has a meaning of its own. Throws on NUL, which no argument can have. */
function quoted(text: string): string {
  if (text.includes('\0')) throw new Error('an argument of a program has a NUL');
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
