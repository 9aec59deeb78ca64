export type { Diff, DiffFile, DiffLine, Hunk, Person } from '../../platform/git/index.js';
export {
  createVcs,
  type CommitWorkInput,
  type DiffInput,
  type LinesInput,
  type PrepareInput,
  type Submitted,
  type Vcs,
  type VcsDeps,
} from './service.js';
export { branchOf, checkBase, checkMessage, checkPerson, type Prepared, type TaskRef, type TaskRepo } from './vcs.js';
