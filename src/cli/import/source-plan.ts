/** What the parsers make of a file: one shape for all formats. Nothing in it knows of Muster's own hierarchy. */
export interface SourcePlan {
  /** In the order of the file. */
  readonly items: readonly Item[];
  readonly problems: readonly Problem[];
}

export type Source = 'beads' | 'task-master';

export interface Item {
  /** Unique in its source. */
  readonly id: string;
  /** Where it stands in the file, from 1; undefined where lines say nothing. */
  readonly line: number | undefined;
  readonly title: string;
  readonly description: string;
  /** Longer texts, with what they are headed. */
  readonly sections: readonly Section[];
  /** Short facts, a line each. */
  readonly facts: readonly string[];
  /** May have tasks below it that have subtasks. */
  readonly isEpic: boolean;
  readonly state: ItemState;
  /** The first one that can be is taken. */
  readonly parents: readonly Reference[];
  readonly blockers: readonly Reference[];
  /** Relations that Muster has none for. */
  readonly links: readonly Link[];
  /** As in Muster: 0 urgent to 3 low. */
  readonly priority: number;
  /** Milliseconds since 1970; what is older goes first. Undefined: as in the file. */
  readonly createdAt: number | undefined;
}

/**
 * `gone` is nothing to be done, such as a deleted issue or a message; `bad` could not be read. Both are here, for others
 * may refer to them.
 */
export type ItemState = 'open' | 'done' | 'cancelled' | 'gone' | 'bad';

export interface Section {
  readonly heading: string;
  readonly text: string;
}

export interface Reference {
  readonly id: string;
  /** Where it is referred to: `dependencies[2]`. */
  readonly field: string;
}

export interface Link {
  readonly type: string;
  readonly id: string;
}

/** Nothing is made while there are errors, unless they are to be skipped; a warning says what will be different. */
export interface Problem {
  readonly severity: 'error' | 'warning';
  readonly line: number | undefined;
  readonly id: string | undefined;
  readonly field: string | undefined;
  readonly message: string;
}

/** More records than that are no plan. */
export const maxItems = 100_000;
/** What fits into one line, also one of a terminal. */
export const maxIdLength = 200;
