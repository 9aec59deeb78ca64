export { copyLearnings } from './copies.js';
export type { Inherited } from './learnings.js';
export { createLearningRpc } from './rpc.js';
export { createLearnings, type Learnings } from './service.js';
export { findNewest as findLearnings } from './store.js';
