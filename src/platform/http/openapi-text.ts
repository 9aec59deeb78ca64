import { comments } from '../../../gen/comments.js';

/** The comment of a proto element by its full name, as Markdown; undefined without one. */
export function commentOf(fullName: string): string | undefined {
  const comment = comments[fullName];
  return comment === undefined ? undefined : toMarkdown(comment);
}

/** A comment's first sentence, without its full stop, and what follows it. */
export function summaryOf(markdown: string): { summary: string; rest: string | undefined } {
  // A sentence ends where the next one begins with a capital or with code, so that "1.5 s" and "such as a.b" do not end it.
  const first = /^[^\n]+?[.!?](?=\s+[A-Z`"]|\n|$)/.exec(markdown)?.[0] ?? markdown.split('\n\n', 1)[0] ?? '';
  const rest = markdown.slice(first.length).trim();
  return { summary: first.replace(/\.$/, ''), rest: rest === '' ? undefined : rest };
}

/** Unwraps the lines of each paragraph; a paragraph that is indented by two becomes a code block. */
function toMarkdown(comment: string): string {
  return comment
    .split(/\n{2,}/)
    .map((block) =>
      block.split('\n').every((line) => line.startsWith('  '))
        ? block.replace(/^ {2}/gm, '    ')
        : block.replace(/\s*\n\s*/g, ' '),
    )
    .join('\n\n');
}
