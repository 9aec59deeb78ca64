import type { Knex } from 'knex';

/**
 * What reviews bind to, who may not review what, and what reviewers say.
 *
 *   reviews.base_commit   where the task began; head_tree the tree of head_commit, unset for reviews that are older than this
 *   task_doers            who has ever started or submitted a task: those never review it as agents
 *   review_comments       never changed but for resolved_at
 */
export const reviewRounds = {
  name: '0010_review_rounds',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      ALTER TABLE reviews ADD COLUMN base_commit text, ADD COLUMN head_tree text, ADD COLUMN summary text;
      UPDATE reviews r SET base_commit = v.base_commit FROM task_vcs v WHERE v.task_id = r.task_id;
      ALTER TABLE reviews ALTER COLUMN base_commit SET NOT NULL;

      CREATE TABLE task_doers (
        task_id text COLLATE "C" NOT NULL REFERENCES tasks ON DELETE CASCADE,
        actor_id text COLLATE "C" NOT NULL,
        PRIMARY KEY (task_id, actor_id)
      );
      INSERT INTO task_doers (task_id, actor_id)
        SELECT e.task_id, e.actor_id FROM (
          SELECT task_id, actor_id, type FROM events UNION SELECT task_id, actor_id, type FROM events_new
        ) e JOIN tasks t ON t.id = e.task_id WHERE e.type IN ('TaskStarted', 'TaskSubmitted')
        ON CONFLICT DO NOTHING;

      CREATE TABLE review_comments (
        id text COLLATE "C" PRIMARY KEY,
        review_id text COLLATE "C" NOT NULL REFERENCES reviews ON DELETE CASCADE,
        task_id text COLLATE "C" NOT NULL,
        author text COLLATE "C" NOT NULL CHECK (author IN ('Agent', 'Human')),
        file_path text NOT NULL,
        line_start integer,
        line_end integer,
        side text COLLATE "C" NOT NULL CHECK (side IN ('Left', 'Right')),
        body text NOT NULL,
        created_at timestamptz NOT NULL,
        resolved_at timestamptz,
        CHECK ((line_start IS NULL) = (line_end IS NULL)),
        CHECK (line_start BETWEEN 1 AND line_end)
      );
      CREATE INDEX review_comments_review ON review_comments (review_id, id);
    `);
  },
};
