import type { MusterClient, Review, ReviewComment } from '../client/index.js';
import { CommandError, exitCodes } from './errors.js';
import { taskHere } from './task-place.js';

/** What help says of a command that reads, of closed reviews as well. */
export const whichRead =
  "ID is a review's or a task's; in a task's worktree, that task is meant: its open review, or else its last.";

/**
 * The review that is named by its own id or its task's, or whose task's worktree the current directory is: of a task the open one, or else,
 * where `closed` says so, the last. Throws CommandError.
 */
export async function reviewHere(
  client: MusterClient,
  named: string | undefined,
  { closed = false }: { readonly closed?: boolean } = {},
): Promise<Review> {
  const found = named?.startsWith('rev_') === true ? await byId(client, named) : await ofTask(client, named, closed);
  if (found === undefined) throw new Error('the server answered without a review');
  return found;
}

async function byId(client: MusterClient, id: string): Promise<Review | undefined> {
  return (await client.reviews.getReview({ id })).review;
}

async function ofTask(client: MusterClient, named: string | undefined, closed: boolean): Promise<Review> {
  const id = taskHere(named);
  const { review } = await client.reviews.getActiveReview({ id });
  const found = review ?? (closed ? (await roundsOf(client, id)).at(-1) : undefined);
  if (found !== undefined) return found;
  const what = closed ? 'was never submitted' : 'has no open review; see muster review list';
  throw new CommandError(`not_found: ${id} ${what}`, exitCodes.failed);
}

/** Of a task, oldest first. */
export async function roundsOf(client: MusterClient, id: string): Promise<readonly Review[]> {
  const all: Review[] = [];
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const page: Awaited<ReturnType<MusterClient['reviews']['listReviews']>> = await client.reviews.listReviews({
      id,
      limit: 500,
      cursor,
    });
    all.push(...page.reviews);
    cursor = page.nextCursor;
  }
  return all;
}

/** Of a review, oldest first. */
export async function commentsOf(client: MusterClient, id: string): Promise<readonly ReviewComment[]> {
  const all: ReviewComment[] = [];
  for (let cursor: string | undefined = ''; cursor !== undefined;) {
    const page: Awaited<ReturnType<MusterClient['reviews']['listComments']>> = await client.reviews.listComments({
      id,
      limit: 500,
      cursor,
    });
    all.push(...page.comments);
    cursor = page.nextCursor;
  }
  return all;
}
