import type { Template } from './template.js';

/** Anything with a method and a path template. */
export interface Routable {
  readonly method: string;
  readonly template: Template;
}

export type Found<R> =
  | { readonly kind: 'found'; readonly route: R; readonly segments: readonly string[] }
  | { readonly kind: 'wrong_method'; readonly allow: readonly string[] }
  | { readonly kind: 'unknown' };

/** Finds the route of a request: literals before variables before the rest of the path, one segment after the other. */
export interface Router<R> {
  /** `path` is as sent, without the query. Segments come back as sent, so that `%2F` and `:` inside an id are kept. */
  find(method: string, path: string): Found<R>;
}

interface Node<R> {
  readonly literals: Map<string, Node<R>>;
  one: Node<R> | undefined;
  rest: Node<R> | undefined;
  /** verb, then method */
  readonly leaves: Map<string, Map<string, R>>;
}

function node<R>(): Node<R> {
  return { literals: new Map(), one: undefined, rest: undefined, leaves: new Map() };
}

/** Throws when two routes answer the same method on the same shape of path. */
export function createRouter<R extends Routable>(routes: readonly R[]): Router<R> {
  const root = node<R>();
  for (const route of routes) insert(root, route);
  return {
    find(method, path) {
      const segments = path.slice(1).split('/');
      const search: Search = { method, segments, allow: undefined };
      const route = walk(root, search, 0);
      if (route !== undefined) return { kind: 'found', route, segments };
      return search.allow === undefined ? { kind: 'unknown' } : { kind: 'wrong_method', allow: [...search.allow] };
    },
  };
}

interface Search {
  readonly method: string;
  readonly segments: readonly string[];
  /** The methods of the routes that the path leads to, which are not for this one. */
  allow: Set<string> | undefined;
}

function insert<R extends Routable>(root: Node<R>, route: R): void {
  let at = root;
  for (const segment of route.template.segments) {
    if (segment.kind === 'literal') {
      let next = at.literals.get(segment.text);
      if (next === undefined) at.literals.set(segment.text, (next = node()));
      at = next;
    } else if (segment.kind === 'one') {
      at = at.one ??= node();
    } else {
      at = at.rest ??= node();
    }
  }
  let methods = at.leaves.get(route.template.verb);
  if (methods === undefined) at.leaves.set(route.template.verb, (methods = new Map()));
  const other = methods.get(route.method);
  if (other !== undefined) {
    throw new Error(`routes clash: ${route.method} ${other.template.source} and ${route.template.source}`);
  }
  methods.set(route.method, route);
}

function walk<R>(at: Node<R>, search: Search, depth: number): R | undefined {
  const { segments } = search;
  const segment = segments[depth];
  if (segment === undefined) return leaf(at, '', search);
  const last = depth === segments.length - 1;
  const literal = at.literals.get(decoded(segment));
  const byLiteral = literal && walk(literal, search, depth + 1);
  if (byLiteral !== undefined) return byLiteral;
  if (last) {
    const byVerb = walkVerb(at, search, segment);
    if (byVerb !== undefined) return byVerb;
  }
  // A variable never takes an empty segment: /v1/jobs/ is not the job with the empty id.
  const byVariable = at.one && segment !== '' ? walk(at.one, search, depth + 1) : undefined;
  if (byVariable !== undefined) return byVariable;
  return at.rest && walkRest(at.rest, search);
}

/** The rest of the path, whose last segment may end in a verb. */
function walkRest<R>(rest: Node<R>, search: Search): R | undefined {
  const { verb } = verbOf(search.segments.at(-1) ?? '');
  return (verb === '' ? undefined : leaf(rest, verb, search)) ?? leaf(rest, '', search);
}

/** The last segment with a verb behind its last colon. */
function walkVerb<R>(at: Node<R>, search: Search, segment: string): R | undefined {
  const { stem, verb } = verbOf(segment);
  if (verb === '') return undefined;
  const literal = at.literals.get(decoded(stem));
  const byLiteral = literal && leaf(literal, verb, search);
  if (byLiteral !== undefined) return byLiteral;
  return (at.one && leaf(at.one, verb, search)) ?? (at.rest && leaf(at.rest, verb, search));
}

/** What stands before and behind the last colon; no verb without both. */
function verbOf(segment: string): { readonly stem: string; readonly verb: string } {
  const colon = segment.lastIndexOf(':');
  return colon <= 0 ? { stem: segment, verb: '' } : { stem: segment.slice(0, colon), verb: segment.slice(colon + 1) };
}

function leaf<R>(at: Node<R>, verb: string, search: Search): R | undefined {
  const methods = at.leaves.get(verb);
  if (methods === undefined) return undefined;
  const route = methods.get(search.method);
  if (route === undefined) for (const method of methods.keys()) (search.allow ??= new Set()).add(method);
  return route;
}

function decoded(segment: string): string {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    // No literal is malformed, so this finds none; a variable names the fault when it is bound.
    return segment;
  }
}
