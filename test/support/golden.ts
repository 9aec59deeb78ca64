import { expect } from 'vitest';
import { rest, type RestAnswer } from './rest.js';

export interface Recording {
  /** Makes a REST call and writes down what went out and what came back, under a title for people. */
  readonly call: (
    title: string,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ) => Promise<RestAnswer>;
  /** Compares what was written down with `test/gateway/golden/<name>.http`; `vitest -u` writes that file anew. */
  readonly matches: (name: string) => Promise<void>;
}

/** These say nothing of the API, or differ from call to call. */
const boring = new Set(['connection', 'content-length', 'date', 'keep-alive']);

/**
 * Records calls as a user sees them. Ids, lease tokens and cursors are numbered in order of appearance; times are kept. `places` says
 * what to call paths of this run.
 */
export function startRecording(url: string, places: Readonly<Record<string, string>> = {}): Recording {
  const parts: string[] = [];
  const named = createNormaliser();
  const normalise = (text: string): string =>
    Object.entries(places).reduce(
      (rest, [place, name]) => rest.replaceAll(place, name).replaceAll(encodeURIComponent(place), name),
      named(text),
    );
  return {
    async call(title, method, path, body, headers = {}) {
      const answer = await rest(url, method, path, body, { 'x-correlation-id': 'golden-1', ...headers });
      const sent = [
        `### ${title}`,
        `${method} ${path}`,
        ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
        ...(body === undefined ? [] : ['', shown(body)]),
      ];
      const received = [
        `--> ${answer.status}`,
        ...[...answer.headers].filter(([name]) => !boring.has(name)).map(([name, value]) => `${name}: ${value}`),
        ...(answer.text === '' ? [] : ['', answer.text]),
      ];
      parts.push(normalise([...sent, '', ...received].join('\n')));
      return answer;
    },
    matches: (name) => expect(`${parts.join('\n\n')}\n`).toMatchFileSnapshot(`./golden/${name}.http`),
  };
}

function shown(body: unknown): string {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return text.length > 1000 ? `${text.slice(0, 60)}... (${text.length} characters)` : text;
}

const patterns: readonly (readonly [kind: string, pattern: RegExp])[] = [
  // Cursors first: they hold ids.
  ['cursor', /(?<=cursor=|cursor":")[A-Za-z0-9_-]{20,}/g],
  ['lease', /(?<=lease_token":")[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g],
  ['uuid', /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g],
  ['secret', /mst_[A-Za-z0-9_-]{43}/g],
  ['milestone', /ms_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['task', /task_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['subtask', /sub_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['repo', /repo_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['learning', /lrn_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['help', /help_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['review', /rev_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['comment', /cmt_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['gate', /gate_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
  ['job', /job_[0-7][0-9A-HJKMNP-TV-Z]{25}/g],
];

/** Gives each generated value a name that is the same in every run: `<job 1>` is the first job that appears. */
export function createNormaliser(): (text: string) => string {
  const names = new Map<string, string>();
  const counts = new Map<string, number>();
  return (text) =>
    patterns.reduce(
      (rest, [kind, pattern]) =>
        rest.replace(pattern, (value) => {
          let name = names.get(value);
          if (name === undefined) {
            const count = (counts.get(kind) ?? 0) + 1;
            counts.set(kind, count);
            names.set(value, (name = `<${kind} ${count}>`));
          }
          return name;
        }),
      text,
    );
}
