import { messageOf } from '../../../src/errors.js';
import { lockDataDir } from '../../../src/platform/data-dir.js';
import { createLog } from '../../../src/platform/log.js';

// Locks the directory and says so. Then it waits to be told to go, or with "fall" has nothing left to do.
const [dir = '', then = 'wait'] = process.argv.slice(2);
try {
  await lockDataDir(dir, createLog('silent'));
  console.log(JSON.stringify({ locked: true }));
  if (then === 'wait') process.stdin.resume();
} catch (error) {
  console.log(JSON.stringify({ locked: false, message: messageOf(error) }));
}
