/** What a gate printed on stderr, and below it what else there is to say, in lines of their own that tell who says it. */
export function withNotes(stderr: string, notes: readonly string[]): string {
  if (notes.length === 0) return stderr;
  const said = stderr === '' || stderr.endsWith('\n') ? stderr : `${stderr}\n`;
  return `${said}${notes.map((note) => `muster: ${note}\n`).join('')}`;
}
