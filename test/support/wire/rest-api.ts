import { rest } from '../rest.js';
import { type ApiKind, type ErrorFacts, type Fields, type MethodName, rpcCodes, view } from './api.js';

interface Route {
  readonly method: string;
  readonly path: string;
  /** Where the answer stands in the RPC's response. */
  readonly answer?: string;
}

const routes: Readonly<Record<MethodName, Route>> = {
  CreateJob: { method: 'POST', path: '/v1/jobs' },
  GetJob: { method: 'GET', path: '/v1/jobs/{id}', answer: 'job' },
  ListJobs: { method: 'GET', path: '/v1/jobs', answer: 'jobs' },
  CancelJob: { method: 'DELETE', path: '/v1/jobs/{id}' },
  ClaimJobs: { method: 'POST', path: '/v1/jobs/claim', answer: 'jobs' },
  HeartbeatJob: { method: 'POST', path: '/v1/jobs/{id}/heartbeat' },
  CompleteJob: { method: 'POST', path: '/v1/jobs/{id}/complete', answer: 'job' },
  FailJob: { method: 'POST', path: '/v1/jobs/{id}/fail', answer: 'job' },
};

export const restApi: ApiKind = {
  name: 'REST',
  open: (url) => ({
    async call(name, request, headers = {}) {
      const { method, path, answer } = routes[name];
      const { id, ...fields } = path.includes('{id}') ? request : { id: '', ...request };
      const target = path.replace('{id}', encodeURIComponent(String(id)));
      const {
        status,
        json,
        headers: received,
      } = method === 'POST'
        ? await rest(url, method, target, fields, headers)
        : await rest(url, method, target + queryOf(fields), undefined, headers);
      if (status >= 400) {
        const facts = json as ErrorFacts;
        if (facts.code !== status) throw new Error(`the body says ${facts.code}, the status line ${status}`);
        return { failed: facts, rpcCode: rpcCodes[facts.error] ?? 'unknown' };
      }
      const cursor = /[?&]cursor=([^&>]+)>; rel="next"$/.exec(received.get('link') ?? '')?.[1];
      return { ok: view(answer === undefined ? json : { [answer]: json, next_cursor: cursor }) };
    },
    close: () => undefined,
  }),
};

function queryOf(fields: Fields): string {
  const pairs = Object.entries(fields).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each): [string, string] => [name, String(each)]),
  );
  return pairs.length === 0 ? '' : `?${new URLSearchParams(pairs).toString()}`;
}
