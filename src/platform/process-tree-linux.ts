import { readdirSync, readFileSync } from 'node:fs';
import { codeOf } from '../errors.js';
import type { ProcessEntry, ProcessTable, RunMark } from './process-tree-members.js';

/**
 * The process table of Linux, from /proc. Reads are synchronous on purpose: about 10 µs each, and what they say must
 * still be true when the signal goes out.
 */
export const linuxProcessTable: ProcessTable = {
  list() {
    const entries = [];
    for (const name of readdirSync('/proc')) {
      const entry = /^\d+$/.test(name) ? find(Number(name)) : undefined;
      if (entry !== undefined) entries.push(entry);
    }
    return entries;
  },

  find,

  isMarked(pid, mark) {
    if (/^Max resident set +(\d+)/m.exec(read(`/proc/${pid}/limits`) ?? '')?.[1] === limitBytes(mark)) return true;
    const environment = read(`/proc/${pid}/environ`);
    // Within exec a process has neither environment nor arguments; with `env -i` it still has arguments.
    if (environment === '' && read(`/proc/${pid}/cmdline`) === '') return undefined;
    return environment?.includes(mark.id) === true;
  },

  // Fifth field of "0.00 0.01 0.05 1/123 4567".
  lastPid: () => read('/proc/loadavg')?.split(' ')[4]?.trim(),

  /**
   * Besides the environment, the program carries the mark in a soft resource limit. Linux has ignored RLIMIT_RSS since
   * 2.4.30 but hands it down through fork, exec and setsid, and no program loses it by accident. So it finds those
   * daemons that the environment does not: started under `env -i`, writing their title over their environment
   * (nginx), or hiding it from other users' eyes (ssh-agent). Where the limit may not be set, the environment must do.
   */
  shellArguments: (command, mark) => [
    '-c',
    `ulimit -S -m ${mark.limitKiB} 2>/dev/null; exec /bin/sh -c "$1"`,
    '/bin/sh',
    command,
  ],
};

/** Nobody's child, and without arguments and environment at all times; the kernel starts some every minute. */
const kernelThread = 0x0020_0000;

function find(pid: number): ProcessEntry | undefined {
  const stat = read(`/proc/${pid}/stat`);
  if (stat === undefined) return undefined;
  // The second field is the program's name in parentheses; it may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state = '', parent, group, session, , , flags] = fields;
  if ((Number(flags) & kernelThread) !== 0) return undefined;
  return {
    pid,
    parent: Number(parent),
    group: Number(group),
    session: Number(session),
    start: Number(fields[19]),
    state: stateOf(state, Number(fields[17])),
  };
}

function stateOf(letter: string, threads: number): ProcessEntry['state'] {
  // A process whose first thread ended shows as a zombie while its other threads work on.
  if (letter === 'X' || (letter === 'Z' && threads <= 1)) return 'dead';
  return letter === 'T' ? 'stopped' : 'alive';
}

function limitBytes(mark: RunMark): string {
  return String(BigInt(mark.limitKiB) * 1024n);
}

/** Undefined when the process is gone or another user's. Throws when nothing can be read, as without file descriptors. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'EACCES' || code === 'EPERM') return undefined;
    throw error;
  }
}
