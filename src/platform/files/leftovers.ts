import { randomBytes } from 'node:crypto';

/**
 * Names of what is on its way to or from its place. They tell which process made it, so that another can sweep up what a dead one has
 * left. Where that is misjudged, as between containers that cannot see each other's processes, the work is done once more.
 */
const token = randomBytes(4).toString('hex');
const ours = new Set<string>();
let count = 0;

/** A path for something on its way `to` its place or `from` it; ours until it is let go. */
export function passingName(place: string, way: 'to' | 'from'): string {
  count += 1;
  const name = `${place}.${way === 'to' ? 'new' : 'gone'}-${process.pid}-${token}-${count}`;
  ours.add(name);
  return name;
}

/** It is no longer there. */
export function letGo(name: string): void {
  ours.delete(name);
}

const mark = /(?:\.(?:new|gone)-\d+-[0-9a-f]{8}-\d+)*\.(?:new|gone)-(\d+)-([0-9a-f]{8})-\d+(?:\.lock)?$/;

/** Whether it was on its way, and nobody is there any more to see to it. */
export function isLeftover(file: string): boolean {
  const [, pid, by] = mark.exec(file) ?? [];
  if (pid === undefined) return false;
  // The same pid and another token: a process that is gone, as after the restart of a container.
  if (Number(pid) === process.pid) return by !== token || !ours.has(file);
  return !isAlive(Number(pid));
}

/** What the name was before it was set on its way. */
export function placeOfPassing(file: string): string {
  return file.replace(mark, '');
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
