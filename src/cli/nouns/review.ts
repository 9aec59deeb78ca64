import type { Entry } from '../command.js';

export const reviewCommands: readonly Entry[] = [
  {
    name: 'review show',
    summary: 'Shows a review and what was said.',
    load: async () => (await import('../review-show.js')).reviewShowCommand,
  },
  {
    name: 'review list',
    summary: 'Lists the reviews of a task, a round each.',
    load: async () => (await import('../review-show.js')).reviewListCommand,
  },
  {
    name: 'review diff',
    summary: 'Shows what is reviewed, or what has changed since an earlier round.',
    load: async () => (await import('../review-show.js')).reviewDiffCommand,
  },
  {
    name: 'review comment',
    summary: 'Comments on a file or lines of what is reviewed.',
    load: async () => (await import('../review-comment.js')).reviewCommentCommand,
  },
  {
    name: 'review resolve',
    summary: 'Says that a comment is dealt with.',
    load: async () => (await import('../review-comment.js')).reviewResolveCommand,
  },
  {
    name: 'review approve',
    summary: 'Approves what is reviewed, in the present phase.',
    load: async () => (await import('../review-decide.js')).reviewApproveCommand,
  },
  {
    name: 'review request-changes',
    summary: 'Closes a review, and gives the task back.',
    load: async () => (await import('../review-decide.js')).reviewRequestChangesCommand,
  },
];
