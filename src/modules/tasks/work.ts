import { type Archiver, createArchiver } from './archiver.js';
import { createStarter, type Starter, type StarterDeps } from './starter.js';
import { createSteps, type Steps, type StepsDeps } from './steps.js';
import { createSubmitter, type Submitter, type SubmitterDeps } from './submitter.js';

export type WorkDeps = StepsDeps & StarterDeps & SubmitterDeps;

/**
 * What takes git. Each of these says in one transaction what it is about to do, has git do it, and says in another what has come of it;
 * who waits for git holds no lock. Whoever dies on the way leaves a row by which any server puts things right.
 */
export interface Work extends Starter, Submitter, Archiver {
  /** To be called when deleted tasks have left something. */
  cleanUp(): void;
  /** The same of these, also where that has failed and was to be left alone for a while. */
  retry(taskIds: readonly string[]): void;
  readonly background: Pick<Steps['background'], 'start' | 'stop'>;
}

export function createWork(deps: WorkDeps): Work {
  const steps = createSteps(deps);
  const { background } = steps;
  return {
    ...createStarter(deps, steps),
    ...createSubmitter(deps, steps),
    ...createArchiver(deps, steps),
    cleanUp: () => background.wake(),
    retry: (taskIds) => background.retry(taskIds),
    background,
  };
}
