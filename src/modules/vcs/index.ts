export type { Diff, DiffFile, DiffLine, Hunk, Person } from '../../platform/git/index.js';
export {
  createVcs,
  type CommittedWork,
  type CommitWorkInput,
  type DiffInput,
  type LinesInput,
  type PrepareInput,
  type Vcs,
  type VcsDeps,
} from './service.js';
export type { CompareInput, Comparison, DefaultFile, ReadDefaultInput } from './reads.js';
export {
  branchOf,
  checkBase,
  checkMessage,
  checkPerson,
  type Prepared,
  type Submitted,
  type TaskRef,
  type TaskRepo,
} from './vcs.js';
