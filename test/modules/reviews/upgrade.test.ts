import { expect, test } from 'vitest';
import { bearer, makeToken } from '../../access/support/tokens.js';
import { startTestApp } from '../../support/app.js';
import { useGitRepos } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { createReviewsClient } from '../../support/reviews-client.js';
import { registerRepo } from '../../support/tasks-client.js';
import { startTestApps } from '../../support/two-apps.js';

const repos = useGitRepos();

test('reviews from before know where their task began, and who did the work', async () => {
  const { apps, database } = await startTestApps({});
  const [old] = apps;
  const owner = await makeToken(old, { role: 'human' });
  const human = createReviewsClient(old.url, bearer(owner));
  const agent = await makeToken(old, { role: 'agent', capabilities: ['tasks.execute', 'reviews.agent'] }, owner);
  const doer = createReviewsClient(old.url, bearer(agent));
  const { id } = await human.tasks.create({ repo_id: await registerRepo(old.url, repos.repo(), bearer(owner)) });
  await doer.tasks.start(id);
  const review = await doer.submit(id, { f: 'x' });
  await old.stop();
  // As the database was before the migration.
  await database.query('DROP TABLE review_comments, task_doers');
  await database.query('ALTER TABLE reviews DROP COLUMN base_commit, DROP COLUMN head_tree, DROP COLUMN summary');
  await database.query(`DELETE FROM muster_migrations WHERE name = '0010_review_rounds'`);

  const { url } = await startTestApp({ database });
  expect(await createReviewsClient(url, bearer(owner)).get(review.id)).toEqual({ ...review, head_tree: null });
  expect(await refusal(createReviewsClient(url, bearer(agent)).approve(review.id))).toMatchObject({
    details: { rule: 'separation_of_duties' },
  });
});
