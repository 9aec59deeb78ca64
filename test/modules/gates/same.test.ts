import type { DescMessage, Message } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { Http2SessionManager } from '@connectrpc/connect-node';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import {
  GateListScope,
  GateResultSchema,
  GateSchema,
  GateScopeType,
  GateService,
  GateStream,
} from '../../../gen/muster/v1/gates_pb.js';
import { restShape } from '../../../src/cli/job-json.js';
import { errorFactsOf } from '../../../src/client/index.js';
import { createGatesClient, type RestGateResult } from '../../support/gates-client.js';
import { useGitRepos } from '../../support/git-repos.js';
import { refusal } from '../../support/jobs-client.js';
import { sharedTestApp } from '../../support/shared-app.js';
import { registerRepo } from '../../support/tasks-client.js';
import { transports } from '../../support/wire/connect-api.js';
import type { TransportName } from '../../support/wire/connect-client.js';

/** REST and RPC answer the same, nulls included; the stream tells the same in every protocol. */
const app = sharedTestApp();
const repos = useGitRepos();

function open(name: TransportName) {
  const sessions = new Http2SessionManager(app.current.url);
  onTestFinished(() => sessions.abort());
  return createClient(GateService, transports[name](app.current.url, sessions));
}

function shape(desc: DescMessage, message: Message | undefined): unknown {
  return message && restShape(desc, message);
}

/** A task that is started, and a gate's command that waits for a file outside of the work tree. */
async function setUp() {
  const { url } = app.current;
  const gates = createGatesClient(url);
  const root = repos.repo();
  const repoId = await registerRepo(url, root);
  const { id } = await gates.tasks.create({ repo_id: repoId });
  await gates.tasks.start(id);
  const ready = path.join(root, 'ready.log');
  return {
    gates,
    repoId,
    id,
    letGo: () => writeFileSync(ready, ''),
    waits: `until test -e '${ready}'; do sleep 0.02; done`,
  };
}

test.each<TransportName>(['Connect JSON', 'Connect binary', 'gRPC', 'gRPC-Web'])('%s', async (name) => {
  const { gates, repoId, id, waits, letGo } = await setUp();
  const client = open(name);
  const scope = { type: GateScopeType.TASK, id };
  const { gate } = await client.createGate({ scope, name: 'unit', command: `echo É; ${waits}; exit 1`, maxRetries: 0 });
  const gateId = gate?.id ?? '';
  expect(shape(GateSchema, gate)).toEqual(await gates.get(gateId));
  expect((await client.getGate({ id: gateId })).gate).toEqual(gate);
  const above = await gates.add({ type: 'Repo', id: repoId }, { name: 'all' });
  const { gate: changed } = await client.updateGate({ id: gateId, timeoutSecs: 60 });
  expect(shape(GateSchema, changed)).toEqual(await gates.get(gateId));
  const listed = await client.listGates({ scope: GateListScope.TASK, id });
  expect(listed.gates.map((each) => shape(GateSchema, each))).toEqual(await gates.list('task', id));
  const effective = await client.listEffectiveGates({ taskId: id });
  expect(effective.gates.map((each) => shape(GateSchema, each))).toEqual(await gates.effective(id));
  expect(await client.deleteGate({ id: above.id })).toMatchObject({ ok: true });
  const refused = async (over: Promise<unknown>, rest: () => Promise<unknown>, word: string) => {
    const facts = await over.catch((error: unknown) => errorFactsOf(error as Error));
    const { error, message, details } = await refusal(rest());
    expect(facts).toMatchObject({ word: error, message, ...(details && { details }) });
    expect(error).toBe(word);
  };
  await refused(client.deleteGate({ id: above.id }), () => gates.remove(above.id), 'not_found');
  await refused(client.createGate({ name: 'x' }), () => gates.add({} as never, { name: 'x' }), 'invalid_request');
  await refused(
    client.createGate({ scope, name: 'unit', command: 'true' }),
    () => gates.add({ type: 'Task', id }, {}),
    'conflict',
  );

  const { id: reviewId } = await gates.reviews.submit(id, { f: 'x' });
  await refused(client.deleteGate({ id: gateId }), () => gates.remove(gateId), 'review_open');
  const seen: unknown[] = [];
  let last: unknown;
  for await (const { item } of client.watchGates({ reviewId })) {
    if (item.case === 'output') {
      const { $typeName: _, gateId: of, ...output } = item.value;
      expect(of).toBe(gateId);
      seen.push(output);
      letGo();
    } else if (item.case === 'result') {
      last = shape(GateResultSchema, item.value);
      seen.push((last as RestGateResult).status);
    }
  }
  const told = { name: 'unit', attempt: 1, run: 1, stream: GateStream.STDOUT, text: 'É\n' };
  // It may be running already when it is first looked at.
  expect(seen.filter((each) => each !== 'Pending')).toEqual(['Running', told, 'Escalated']);
  const { results } = await client.listGateResults({ reviewId });
  expect(results.map((each) => shape(GateResultSchema, each))).toEqual(await gates.results(reviewId));
  expect(last).toEqual((await gates.results(reviewId))[0]);
  expect(await client.rerunGates({ reviewId })).toMatchObject({ ok: true });
  await gates.ended(reviewId);
  await gates.reviews.requestChanges(reviewId);
  await refused(client.rerunGates({ reviewId }), () => gates.rerun(reviewId), 'invalid_state');
  const nobody = `rev_${'0'.repeat(26)}`;
  const first = client.watchGates({ reviewId: nobody })[Symbol.asyncIterator]().next();
  await refused(first, () => gates.results(nobody), 'not_found');
});
