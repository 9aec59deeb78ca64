// Loaded into a server (`node --import`): writes down when each git was about to be started, when it had been, and when the server
// heard that it had ended, in ms of the system's clock, a line each, to the file that GIT_CLOCK names.

import childProcess from 'node:child_process';
import { appendFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const file = process.env.GIT_CLOCK;
const { spawn } = childProcess;
const now = () => performance.timeOrigin + performance.now();

childProcess.spawn = function spawnTimed(program, ...rest) {
  const called = now();
  const child = spawn.call(this, program, ...rest);
  if (program !== 'git') return child;
  const began = now();
  child.prependOnceListener('exit', () => appendFileSync(file, `${called} ${began} ${now()}\n`));
  return child;
};
syncBuiltinESMExports();
