import type { Entry } from '../command.js';

export const taskCommands: readonly Entry[] = [
  {
    name: 'task add',
    summary: 'Adds a task to a repository.',
    load: async () => (await import('../task-add.js')).taskAddCommand,
  },
  {
    name: 'task list',
    summary: 'Lists tasks, newest first.',
    load: async () => (await import('../task-list.js')).taskListCommand,
  },
  {
    name: 'task tree',
    summary: 'Draws tasks below each other, and says how far they have come.',
    load: async () => (await import('../task-tree.js')).taskTreeCommand,
  },
  {
    name: 'task show',
    summary: 'Shows a task with all that its doer has to know.',
    load: async () => (await import('../task-show.js')).taskShowCommand,
  },
  {
    name: 'task next',
    summary: 'Shows the ready task that goes first.',
    load: async () => (await import('../task-show.js')).taskNextCommand,
  },
  {
    name: 'task claim',
    summary: 'Takes the ready task that goes first, and starts it.',
    load: async () => (await import('../task-show.js')).taskClaimCommand,
  },
  {
    name: 'task start',
    summary: 'Starts a task in a work tree of its own.',
    load: async () => (await import('../task-moves.js')).taskStartCommand,
  },
  {
    name: 'task submit',
    summary: 'Commits the work on a task, and opens a review.',
    load: async () => (await import('../task-moves.js')).taskSubmitCommand,
  },
  {
    name: 'task diff',
    summary: 'Shows what a task has changed.',
    load: async () => (await import('../task-diff.js')).taskDiffCommand,
  },
  {
    name: 'task archive',
    summary: 'Removes branch and work tree of a task that is done; commits are kept.',
    load: async () => (await import('../task-diff.js')).taskArchiveCommand,
  },
  {
    name: 'task edit',
    summary: 'Changes the description, context or priority of a task.',
    load: async () => (await import('../task-moves.js')).taskEditCommand,
  },
  {
    name: 'task cancel',
    summary: 'Cancels a task and what is open below it.',
    load: async () => (await import('../task-moves.js')).taskCancelCommand,
  },
  {
    name: 'task block',
    summary: 'Makes a task wait for another one.',
    load: async () => (await import('../task-moves.js')).taskBlockCommand,
  },
  {
    name: 'task unblock',
    summary: 'Ends that.',
    load: async () => (await import('../task-moves.js')).taskUnblockCommand,
  },
  {
    name: 'task set-status',
    summary: 'Sets the status of a task.',
    load: async () => (await import('../task-moves.js')).taskSetStatusCommand,
  },
  {
    name: 'task force-complete',
    summary: 'Completes a task, whatever it waits for.',
    load: async () => (await import('../task-moves.js')).taskForceCompleteCommand,
  },
  {
    name: 'task delete',
    summary: 'Deletes a task and what is below it.',
    load: async () => (await import('../task-moves.js')).taskDeleteCommand,
  },
];
