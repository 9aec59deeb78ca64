/**
 * An array parameter as Postgres reads it, or the array itself where pg has to print it: one of bytes, dates or arrays. pg takes each
 * element through two regular expressions, which for a statement of many rows is more work than all else about it.
 */
export function arrayText(items: readonly unknown[]): string | readonly unknown[] {
  let text = '';
  for (const item of items) {
    const element = elementText(item);
    if (element === undefined) return items;
    text += text === '' ? element : `,${element}`;
  }
  return `{${text}}`;
}

function elementText(item: unknown): string | undefined {
  switch (typeof item) {
    case 'string':
      return item.includes('"') || item.includes('\\') ? escaped(item) : `"${item}"`;
    case 'number':
    case 'boolean':
      return String(item);
    default:
      return item === null || item === undefined ? 'NULL' : undefined;
  }
}

/**
 * JSON has the same quotes, and the same escapes for quotes and backslashes, but also some for what Postgres wants as it is. Text with
 * quotes is JSON itself, nearly always, which has none of that.
 */
function escaped(text: string): string {
  const json = JSON.stringify(text);
  return /\\[bfnrtu]/.test(json) ? `"${text.replaceAll(/["\\]/g, String.raw`\$&`)}"` : json;
}
