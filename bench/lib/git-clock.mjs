// Loaded into a server (`node --import`): writes down from when to when each git ran, in ms of the system's clock, a line each, to
// the file that GIT_CLOCK names. From when it has been started, so that starting it is the server's time, to when the server hears
// that it has ended.

import childProcess from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const file = process.env.GIT_CLOCK;
const { spawn } = childProcess;
const now = () => performance.timeOrigin + performance.now();

childProcess.spawn = function spawnTimed(program, ...rest) {
  const child = spawn.call(this, program, ...rest);
  if (program !== 'git') return child;
  const began = now();
  const command = rest[0]?.find((arg) => /^[a-z][a-z-]+$/.test(arg)) ?? '';
  child.prependOnceListener('exit', () => appendFileSync(file, `${began} ${now()} ${command}\n`));
  return child;
};
syncBuiltinESMExports();
