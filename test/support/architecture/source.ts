/** What the rules need to know of a TypeScript file, without a compiler. */
export interface Source {
  /** The text with its comments blanked out; line breaks stay. */
  readonly code: string;
  /** What stands between quotes or backticks, but for the `${...}` of templates. */
  readonly strings: readonly string[];
  /** What it imports or exports from, `import type`, `import()` and `require()` included, as written. */
  readonly imports: readonly string[];
  readonly lines: number;
}

/** After these a slash begins a regular expression, not a division. */
const beforeRegex = /(?:^|[(,=:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|yield|await|else))$/;

const importForms = [
  /\bimport\s+(?:type\s+)?(?:[\w$*{}\s,]+?\s*\bfrom\s*)?(['"])([^'"\n]+)\1/g,
  /\bexport\s+(?:type\s+)?(?:\*(?:\s+as\s+[\w$]+)?|\{[^}]*\})\s*from\s*(['"])([^'"\n]+)\1/g,
  /\b(?:import|require)\s*\(\s*(['"`])([^'"`\n]+)\1/g,
];

export function readSource(text: string): Source {
  const { code, strings } = scan(text);
  const imports = importForms.flatMap((form) => [...code.matchAll(form)].map((match) => match[2] ?? ''));
  return { code, strings, imports, lines: text.split('\n').length - (text.endsWith('\n') ? 1 : 0) };
}

function scan(text: string): { code: string; strings: string[] } {
  const strings: string[] = [];
  let code = '';
  /** The brace depth at which each `${` that is open will close. */
  const holes: number[] = [];
  let depth = 0;
  let at = 0;

  const upTo = (end: number): string => {
    const piece = text.slice(at, end);
    at = end;
    return piece;
  };
  const endOfQuoted = (quote: string): number => {
    let end = at + 1;
    while (end < text.length && text[end] !== quote && text[end] !== '\n') end += text[end] === '\\' ? 2 : 1;
    return Math.min(end + 1, text.length);
  };
  /** From a backtick or the end of a hole to the next hole or the closing backtick. */
  const template = (): void => {
    const from = at + 1;
    let end = from;
    while (end < text.length && text[end] !== '`' && !text.startsWith('${', end)) end += text[end] === '\\' ? 2 : 1;
    strings.push(text.slice(from, end));
    if (text[end] === '$') {
      holes.push(depth);
      end += 1;
    }
    code += upTo(Math.min(end + 1, text.length));
  };

  while (at < text.length) {
    const char = text.charAt(at);
    if (text.startsWith('//', at)) {
      const end = text.indexOf('\n', at);
      at = end < 0 ? text.length : end;
    } else if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2);
      code += upTo(end < 0 ? text.length : end + 2).replace(/[^\n]/g, ' ');
    } else if (char === "'" || char === '"') {
      const quoted = upTo(endOfQuoted(char));
      strings.push(quoted.slice(1, -1));
      code += quoted;
    } else if (char === '`' || (char === '}' && holes.at(-1) === depth)) {
      if (char === '}') holes.pop();
      template();
    } else if (char === '/' && beforeRegex.test(code.trimEnd().slice(-10))) {
      code += upTo(endOfRegex(text, at));
    } else {
      if (char === '{') depth += 1;
      if (char === '}') depth -= 1;
      code += upTo(at + 1);
    }
  }
  return { code, strings };
}

function endOfRegex(text: string, start: number): number {
  let inClass = false;
  for (let end = start + 1; end < text.length && text[end] !== '\n'; end += text[end] === '\\' ? 2 : 1) {
    if (text[end] === '[') inClass = true;
    else if (text[end] === ']') inClass = false;
    else if (text[end] === '/' && !inClass) return end + 1;
  }
  return start + 1;
}
