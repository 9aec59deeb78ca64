// Single submits through Muster's own client, as addJob and send are the peers' own.
//
// Options: url, jobs, callers.

import { createMusterClient } from '../../dist/src/client/index.js';
import { answer, childOptions } from '../lib/child.mjs';
import { settle } from '../lib/db.mjs';
import { submitConcurrently } from '../lib/submit.mjs';

const { url, jobs, callers } = childOptions();
const muster = createMusterClient({ url });
const submit = () => muster.jobs.createJob({ kind: 'bench' });

await submitConcurrently({ jobs: jobs / 10, callers, submit });
await settle(process.env.DATABASE_URL);
answer(await submitConcurrently({ jobs, callers, submit }));
process.exit();
