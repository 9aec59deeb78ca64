import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { GateStatus, type WatchGatesResponse } from '../../../gen/muster/v1/gates_pb.js';
import { createMusterClient } from '../../../src/client/index.js';
import { createGatesClient } from '../../support/gates-client.js';
import { useGitRepos } from '../../support/git-repos.js';
import { registerRepo } from '../../support/tasks-client.js';
import { startTestApps } from '../../support/two-apps.js';
import { until } from '../../support/until.js';

const repos = useGitRepos();

/** Collects what a stream tells: what was printed, run by run, and the statuses. */
function follow(url: string, reviewId: string) {
  const muster = createMusterClient({ url });
  onTestFinished(() => muster.close());
  const told = { printed: new Map<number, string>(), statuses: [] as GateStatus[] };
  const add = ({ item }: WatchGatesResponse): void => {
    if (item.case === 'output') {
      const { run, text } = item.value;
      told.printed.set(run, (told.printed.get(run) ?? '') + text);
    }
    if (item.case === 'result') told.statuses.push(item.value.status);
  };
  const done = (async () => {
    for await (const each of muster.gates.watchGates({ reviewId })) add(each);
  })();
  // Awaited at the end, if it comes to that.
  done.catch(() => undefined);
  return { told, done };
}

test('whoever comes later, to whatever server, hears all that the run has printed, once', async () => {
  const { apps } = await startTestApps({ flags: { 'gate-concurrency': '0' } }, {});
  const [elsewhere, here] = apps;
  const client = createGatesClient(here.url);
  const root = repos.repo();
  const { id } = await client.tasks.create({ repo_id: await registerRepo(here.url, root) });
  await client.tasks.start(id);
  const go = (place: number): string => path.join(root, `${place}.log`);
  const step = (place: number): string => `echo ${place}; until test -e '${go(place)}'; do sleep 0.02; done`;
  const again = path.join(root, 'again.log');
  const command = `${[0, 1, 2].map(step).join('; ')}; test -e '${again}' || { touch '${again}'; exit 75; }`;
  await client.add({ type: 'Task', id }, { command, poll_interval_secs: 1 });
  const { id: reviewId } = await client.reviews.submit(id, { f: 'x' });
  const all = [follow(elsewhere.url, reviewId)];
  const lines = '0\n1\n2\n';
  for (const place of [0, 1, 2]) {
    const sofar = lines.slice(0, 2 * (place + 1));
    const haveHeard = () => all.every(({ told }) => told.printed.get(1) === sofar);
    await until(`all have heard ${place}`, haveHeard);
    all.push(follow(place === 1 ? elsewhere.url : here.url, reviewId));
    await until('the one who has come, too', haveHeard);
    writeFileSync(go(place), '');
  }
  await Promise.all(all.map(({ done }) => done));
  for (const { told } of all) {
    expect(Object.fromEntries(told.printed)).toEqual({ 1: lines, 2: lines });
    expect(told.statuses.slice(-4)).toEqual([
      ...[GateStatus.RUNNING, GateStatus.PENDING, GateStatus.RUNNING, GateStatus.PASSED],
    ]);
  }
  const late = follow(elsewhere.url, reviewId);
  await late.done;
  expect(late.told).toEqual({ printed: new Map(), statuses: [GateStatus.PASSED] });
});
