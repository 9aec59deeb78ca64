// The agent of `muster demo`, as a user's program would be written: it claims a task, works on it, and hears what the gates say.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createMusterClient, GateStatus, ReviewStatus } from '../../client/index.js';

const { MUSTER_URL: url, MUSTER_TOKEN: token, DEMO_REPO_ID: repoId } = process.env;
const muster = createMusterClient({ url, token });

/** What comes to mind first, and what is right. */
const tries = [
  { code: 'return Math.abs(a) + Math.abs(b);', message: 'Add, whatever the sign' },
  { code: 'return a + b;', message: 'Add' },
];

const { task: claimed } = await muster.tasks.claimNextTask({ repoId });
const id = claimed?.task?.id ?? '';
const worktree = claimed?.vcs?.worktreePath ?? '';
for (const { code, message } of tries) {
  await writeFile(path.join(worktree, 'sum.mjs'), `export function sum(a, b) {\n  ${code}\n}\n`);
  await muster.tasks.submitTask({ id, message });
  const { review } = await muster.reviews.getActiveReview({ id });
  const reviewId = review?.id ?? '';
  let failed = false;
  for await (const { item } of muster.gates.watchGates({ reviewId })) {
    if (item.case === 'result' && item.value.status === GateStatus.FAILED) failed = true;
  }
  const { review: judged } = await muster.reviews.getReview({ id: reviewId });
  if (!failed || judged?.status !== ReviewStatus.CHANGES_REQUESTED) break;
}
await muster.learnings.addLearning({ taskId: id, content: 'Test with a negative number: abs() hides the sign.' });
muster.close();
