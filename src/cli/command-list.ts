import type { Entry } from './command.js';
import { eventsCommands } from './nouns/events.js';
import { gateCommands } from './nouns/gate.js';
import { helpRequestsCommands } from './nouns/help-requests.js';
import { importCommands } from './nouns/import.js';
import { jobsCommands } from './nouns/jobs.js';
import { learningsCommands } from './nouns/learnings.js';
import { repoCommands } from './nouns/repo.js';
import { reviewCommands } from './nouns/review.js';
import { taskCommands } from './nouns/task.js';
import { tokenCommands } from './nouns/token.js';

/** All there are, in the order in which help lists them. */
export const commands: readonly Entry[] = [
  {
    name: 'serve',
    summary: 'Runs a server.',
    load: async () => (await import('./serve.js')).serveCommand,
  },
  {
    name: 'migrate',
    summary: 'Brings the database up to date, without a server.',
    load: async () => (await import('./migrate.js')).migrateCommand,
  },
  {
    name: 'work',
    summary: 'Runs a program for each job of some kinds.',
    load: async () => (await import('./work.js')).workCommand,
  },
  ...jobsCommands,
  ...taskCommands,
  ...gateCommands,
  ...helpRequestsCommands,
  ...learningsCommands,
  ...reviewCommands,
  ...importCommands,
  ...eventsCommands,
  ...repoCommands,
  ...tokenCommands,
  {
    name: 'demo',
    summary:
      'Shows it all: a task, its gates, its reviews, and everything that happens; or, with --jobs, the job queue.',
    load: async () => (await import('./demo.js')).demoCommand,
  },
];
