import { spawnSync } from 'node:child_process';
import { AppError, messageOf } from '../errors.js';
import type { ProcessEntry, ProcessTable } from './process-tree-members.js';

/**
 * The process table of any Unix, from `ps`; used where there is no /proc (macOS). It shows no mark, so a daemon that
 * left its group and lost its parent before the first look is not found.
 */
export const psProcessTable: ProcessTable = {
  list: () => ps(['-A']),
  find: (pid) => ps(['-p', String(pid)])[0],
  isMarked: () => false,
  lastPid: () => undefined,
  shellArguments: (command) => ['-c', command],
};

function ps(selection: readonly string[]): ProcessEntry[] {
  const { error, stdout } = spawnSync('ps', [...selection, '-o', 'pid=,ppid=,pgid=,stat=,lstart='], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    // lstart is a local time in words; a clock that goes back in autumn must not make one process into two.
    env: { PATH: '/bin:/usr/bin', LC_ALL: 'C', TZ: 'UTC' },
  });
  if (error !== undefined) {
    throw new AppError('unavailable', `cannot run ps: ${messageOf(error)}`, { cause: error });
  }
  return stdout.split('\n').flatMap((line) => {
    const [, pid, parent, group, state = '', start] = /^ *(\d+) +(\d+) +(\d+) +(\S+) +(.+)$/.exec(line) ?? [];
    if (start === undefined) return [];
    return {
      pid: Number(pid),
      parent: Number(parent),
      group: Number(group),
      session: Number(group),
      start: Date.parse(`${start} UTC`),
      state: state.startsWith('Z') ? 'dead' : state.startsWith('T') ? 'stopped' : 'alive',
    };
  });
}
