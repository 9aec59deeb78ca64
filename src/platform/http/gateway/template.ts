/**
 * Path templates as google.api.http has them:
 *
 *   template  = "/" segments [ ":" literal ]
 *   segments  = segment { "/" segment }
 *   segment   = "*" | "**" | literal | variable
 *   variable  = "{" field { "." field } [ "=" segments ] "}"
 *
 * `*` stands for one segment, `**` for the rest of the path and only at its end. A variable without a pattern is `*`.
 */
export interface Template {
  readonly source: string;
  readonly segments: readonly Segment[];
  /** What follows a colon behind the last segment, such as `cancel` in `/x/{id}:cancel`. */
  readonly verb: string;
  readonly variables: readonly Variable[];
}

export type Segment = { readonly kind: 'literal'; readonly text: string } | { readonly kind: 'one' | 'rest' };

/** A field of the request and the segments, from `first` to before `end`, whose text it takes. */
export interface Variable {
  readonly field: readonly string[];
  readonly first: number;
  readonly end: number;
}

const name = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Throws an Error that quotes the template when it is malformed. */
export function parseTemplate(source: string): Template {
  const fail = (why: string): never => {
    throw new Error(`path template '${source}': ${why}`);
  };
  const segments: Segment[] = [];
  const variables: Variable[] = [];
  let at = 0;

  const text = (until: RegExp): string => {
    const from = at;
    while (at < source.length && !until.test(source.charAt(at))) at++;
    return source.slice(from, at);
  };

  function decoded(literal: string): string {
    try {
      return decodeURIComponent(literal);
    } catch {
      return fail('a segment is not percent-encoded UTF-8');
    }
  }

  function parseSegments(insideVariable: boolean): void {
    for (;;) {
      if (segments.at(-1)?.kind === 'rest') fail('** may only be the last segment');
      if (source.startsWith('**', at)) {
        at += 2;
        segments.push({ kind: 'rest' });
      } else if (source.charAt(at) === '*') {
        at += 1;
        segments.push({ kind: 'one' });
      } else if (source.charAt(at) === '{') {
        if (insideVariable) fail('a variable may not hold another');
        parseVariable();
      } else {
        const literal = text(/[/:{}=*?#]/);
        if (literal === '') fail(`a segment is empty at ${at}`);
        segments.push({ kind: 'literal', text: decoded(literal) });
      }
      if (source.charAt(at) !== '/') return;
      at += 1;
    }
  }

  function parseVariable(): void {
    at += 1;
    const field = text(/[=}]/).split('.');
    if (!field.every((part) => name.test(part))) fail(`'${field.join('.')}' is no field`);
    const first = segments.length;
    if (source.charAt(at) === '=') {
      at += 1;
      parseSegments(true);
    } else {
      segments.push({ kind: 'one' });
    }
    if (source.charAt(at) !== '}') fail('a variable is not closed');
    at += 1;
    if (variables.some((other) => other.field.join('.') === field.join('.'))) fail(`${field.join('.')} is there twice`);
    variables.push({ field, first, end: segments.length });
  }

  if (source.charAt(0) !== '/') fail('it must begin with /');
  at = 1;
  parseSegments(false);
  let verb = '';
  if (source.charAt(at) === ':') {
    verb = source.slice(at + 1);
    if (!/^[A-Za-z0-9_.-]+$/.test(verb)) fail('the verb is malformed');
    at = source.length;
  }
  if (at !== source.length) fail(`unexpected '${source.charAt(at)}' at ${at}`);
  return { source, segments, verb, variables };
}
