import { onTestFinished } from 'vitest';
import { messageOf } from '../../../../src/errors.js';
import { rest } from '../../../support/rest.js';
import { until } from '../../../support/until.js';
import { isCutOff } from './fleet.js';

/** A client that submits one job after the other, each to the next server, and each under a key until it is acknowledged. */
export interface Submitter {
  /** The id of each job that was acknowledged, by its mark `<name>-<step>`, in the order in which they were. */
  readonly acknowledged: ReadonlyMap<string, string>;
  /** Answers that no client should get. */
  readonly faults: readonly string[];
  /** Waits no longer for the calls under way and makes them anew elsewhere. Their servers may carry them out yet. */
  losePatience(): void;
  /** Resolves when all that was begun has been acknowledged, and when calls that it no longer waits for have ended too. */
  stop(): Promise<void>;
}

export function startSubmitter(urls: () => readonly string[], name: string): Submitter {
  const acknowledged = new Map<string, string>();
  const faults: string[] = [];
  const underWay = new Set<Promise<unknown>>();
  /** Ends the waiting for the one call that is waited for. */
  let giveUp: () => void = () => undefined;
  let turn = 0;
  let over = false;

  /** Undefined when the answer was lost or says to come again. */
  async function post(url: string, mark: string): Promise<string | undefined> {
    try {
      const { status, json, text } = await rest(url, 'POST', '/v1/jobs', { kind: 'build', idempotency_key: mark });
      if (status === 503) return undefined;
      if (status >= 300) throw new Error(`${mark} was answered ${status} ${text}`);
      const { id } = json as { id: string };
      const known = acknowledged.get(mark) ?? id;
      acknowledged.set(mark, known);
      if (known !== id) throw new Error(`${mark} was answered ${id} after ${known}`);
      return id;
    } catch (error) {
      if (!isCutOff(error)) faults.push(messageOf(error));
      return undefined;
    }
  }

  async function attempt(mark: string): Promise<string | undefined> {
    const all = urls();
    const url = all[turn++ % all.length];
    if (url === undefined) return undefined;
    const call = post(url, mark);
    underWay.add(call);
    void call.then(() => underWay.delete(call));
    return Promise.race([call, new Promise<undefined>((resolve) => (giveUp = () => resolve(undefined)))]);
  }

  async function submitAll(): Promise<void> {
    for (let step = 0; !over && faults.length === 0; step++) {
      const mark = `${name}-${step}`;
      await until(`${mark} is acknowledged`, async () => (await attempt(mark)) ?? faults[0]);
    }
  }
  const done = submitAll().catch((error: unknown) => void faults.push(messageOf(error)));
  onTestFinished(() => void (over = true));

  return {
    acknowledged,
    faults,
    losePatience: () => giveUp(),
    async stop() {
      over = true;
      await done;
      await Promise.all(underWay);
    },
  };
}
