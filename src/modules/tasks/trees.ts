import type { Task } from './tasks.js';

export interface TaskTree {
  readonly task: Task;
  readonly children: readonly TaskTree[];
}

/** Puts tasks below their parents, in the order in which they are given. Those whose parents are not among them are roots. */
export function treesOf(tasks: readonly Task[]): readonly TaskTree[] {
  const trees = new Map(tasks.map((task) => [task.id, { task, children: [] as TaskTree[] }]));
  const roots: TaskTree[] = [];
  for (const tree of trees.values()) {
    const above = trees.get(tree.task.parentId ?? '');
    (above?.children ?? roots).push(tree);
  }
  return roots;
}
