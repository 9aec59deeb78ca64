import type { Knex } from 'knex';

/**
 * Branches and work trees of tasks. Git and the database cannot change together, so that a row says what is about to be done before git
 * does it: in which `state`, by whom (`holder`) and until when at least. Who has done it says so in a second transaction, if the row is
 * still in their hands. A row whose holder has died is taken over by any server once `held_until` is over.
 *
 *   preparing    branch and work tree are made; when that is not finished, what there is of them is removed
 *   ready        they are there
 *   committing   a commit is made of what is in the work tree; when that is not finished, it is ready again, commit or not
 *   archiving    the task is archived, and they are to be removed; when that is not finished, it is done again
 *   archived     they are gone; the commits are kept
 *   removing     the same for a task that is no more, after which the row goes, too
 *
 * A row may outlive its task, so it does not refer to it.
 */
export const taskVcs = {
  name: '0009_task_vcs',
  up: async (knex: Knex): Promise<void> => {
    await knex.raw(`
      CREATE TABLE task_vcs (
        task_id text COLLATE "C" PRIMARY KEY,
        repo_id text COLLATE "C" NOT NULL REFERENCES repos,
        state text COLLATE "C" NOT NULL
          CHECK (state IN ('preparing', 'ready', 'committing', 'archiving', 'archived', 'removing')),
        holder uuid,
        held_until timestamptz,
        ref_name text NOT NULL,
        base_commit text,
        start_commit text,
        head_commit text,
        worktree_path text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        archived_at timestamptz,
        CHECK ((state IN ('ready', 'archived')) = (held_until IS NULL)),
        CHECK (state IN ('preparing', 'removing') OR base_commit IS NOT NULL)
      );
      CREATE INDEX task_vcs_repo ON task_vcs (repo_id, task_id);
      CREATE INDEX task_vcs_held ON task_vcs (held_until) WHERE held_until IS NOT NULL;
    `);
  },
};
