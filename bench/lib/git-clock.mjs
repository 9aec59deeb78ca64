// Loaded into a server (`node --import`): writes down when each git was asked for, when it had begun, and when the server heard that it
// had ended, in ms of the system's clock, a line each, to the file that GIT_CLOCK names.

import { subscribe } from 'node:diagnostics_channel';
import { appendFileSync } from 'node:fs';

subscribe('muster.git', ({ asked, begun, ended }) => {
  const line = [asked, begun, ended].map((at) => performance.timeOrigin + at).join(' ');
  appendFileSync(process.env.GIT_CLOCK, `${line}\n`);
});
