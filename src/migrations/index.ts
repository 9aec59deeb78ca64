import type { Migration } from '../platform/db/migrate.js';
import { jobs } from './0001-jobs.js';
import { events } from './0002-events.js';
import { access } from './0003-access.js';
import { rateLimits } from './0004-rate-limits.js';
import { idempotency } from './0005-idempotency.js';
import { repos } from './0006-repos.js';
import { tasks } from './0007-tasks.js';
import { reviews } from './0008-reviews.js';
import { taskVcs } from './0009-task-vcs.js';
import { reviewRounds } from './0010-review-rounds.js';
import { learnings } from './0012-learnings.js';
import { helpRequests } from './0013-help-requests.js';
import { gates } from './0014-gates.js';
import { cheaperNumbers } from './0015-number-events.js';

/** Every step of the schema, oldest first. */
export const migrations: readonly Migration[] = [
  jobs,
  events,
  access,
  rateLimits,
  idempotency,
  repos,
  tasks,
  reviews,
  taskVcs,
  reviewRounds,
  learnings,
  helpRequests,
  gates,
  cheaperNumbers,
];
