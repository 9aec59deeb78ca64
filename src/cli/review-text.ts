import { type Review, type ReviewComment, ReviewCommentSchema, ReviewSchema } from '../client/index.js';
import { lastRound, resultLines, type ShownResult } from './gate-text.js';
import { restShape } from './job-json.js';
import { alignColumns, type Output, printable, type Style } from './output.js';

/** A review in the documented words, as REST has it. */
export interface ShownReview {
  readonly id: string;
  readonly task_id: string;
  readonly status: string;
  readonly base_commit: string;
  readonly head_commit: string;
  readonly head_tree: string | null;
  readonly summary: string | null;
  readonly submitted_at: string;
  readonly gates_completed_at: string | null;
  readonly agent_completed_at: string | null;
  readonly human_completed_at: string | null;
}

export interface ShownComment {
  readonly id: string;
  readonly author: string;
  readonly file_path: string;
  readonly line_start: number | null;
  readonly line_end: number | null;
  readonly side: string;
  readonly body: string;
  readonly resolved_at: string | null;
}

export function shownReview(review: Review | undefined): ShownReview {
  if (review === undefined) throw new Error('the server answered without a review');
  return restShape(ReviewSchema, review) as unknown as ShownReview;
}

export function shownComment(comment: ReviewComment | undefined): ShownComment {
  if (comment === undefined) throw new Error('the server answered without a comment');
  return restShape(ReviewCommentSchema, comment) as unknown as ShownComment;
}

/** What a human can do where gates have failed too often. */
export const escalatedHint = [
  'A gate has failed as often as it may, so that a human decides: muster review approve, muster review request-changes,',
  'or, to let all gates run again, muster gate rerun.',
].join('\n');

/** What is known of a review. */
export interface ReviewFacts {
  readonly review: ShownReview;
  readonly comments: readonly ShownComment[];
  /** What its gates have come to; null for who may not read that. */
  readonly gate_results: readonly ShownResult[] | null;
}

/** All there is to know of a review, a line a field, and what was said. */
export function reviewText({ review, comments, gate_results: results }: ReviewFacts, output: Output): string {
  const { style } = output;
  const rows: [string, string | null][] = [
    ['id', review.id],
    ['task_id', review.task_id],
    ['status', colouredStatus(review.status, style)],
    ['base_commit', review.base_commit],
    ['head_commit', review.head_commit],
    ['head_tree', review.head_tree],
    ['submitted_at', review.submitted_at],
    ['gates', gatesText(results, output)],
    ['gates_completed_at', results?.length === 0 ? null : review.gates_completed_at],
    ['agent_completed_at', review.agent_completed_at],
    ['human_completed_at', review.human_completed_at],
    ['summary', review.summary === null ? null : printable(review.summary)],
  ];
  const width = Math.max(...rows.map(([name, value]) => (value === null ? 0 : name.length))) + 2;
  const lines = rows.flatMap(([name, value]) =>
    value === null ? [] : [style.dim(name.padEnd(width)) + indented(value, width)],
  );
  const hint = review.status === 'GatesEscalated' ? ['', escalatedHint] : [];
  return [...lines, ...comments.flatMap((comment) => ['', commentText(comment, output)]), ...hint].join('\n');
}

/** A line for each gate, as it was run last; null where there are none. */
function gatesText(results: readonly ShownResult[] | null, output: Output): string | null {
  if (results === null) return 'may not be read with this token';
  return resultLines(lastRound(results), output).join('\n') || null;
}

/** Where a comment is and what it says. */
export function commentText(comment: ShownComment, { style }: Output): string {
  const state = comment.resolved_at === null ? '' : style.green(' resolved');
  return [
    `${style.bold(placeOf(comment))} ${style.dim(`${comment.id} ${comment.author}`)}${state}`,
    `  ${indented(printable(comment.body), 2)}`,
  ].join('\n');
}

/** `src/a.ts:12-14`; of the left side it says so. */
function placeOf({ file_path, line_start, line_end, side }: ShownComment): string {
  const lines = line_start === null ? '' : `:${line_start}${line_end === line_start ? '' : `-${line_end}`}`;
  return `${printable(file_path)}${lines}${side === 'Left' ? ' (left)' : ''}`;
}

/** Lines of a table, its head first. */
export function reviewTable(reviews: readonly ShownReview[], { style }: Output): string[] {
  return alignColumns([
    ['ID', 'STATUS', 'COMMIT', 'SUBMITTED'].map((name) => style.dim(name)),
    ...reviews.map(({ id, status, head_commit, submitted_at }) => [
      id,
      colouredStatus(status, style),
      head_commit.slice(0, 12),
      submitted_at,
    ]),
  ]);
}

function colouredStatus(status: string, style: Style): string {
  if (status === 'Approved') return style.green(status);
  return status === 'ChangesRequested' ? style.red(status) : style.cyan(status);
}

function indented(text: string, width: number): string {
  return text.replaceAll('\n', `\n${' '.repeat(width)}`);
}
