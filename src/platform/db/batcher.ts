import { AppError, messageOf } from '../../errors.js';

/**
 * Gathers what concurrent callers want into one statement and one commit. A caller that finds nobody ahead is served at
 * once; while a batch is under way the next one fills, so that the batch size follows the load by itself and no timer is
 * needed. Each caller is answered only when its batch has been committed.
 */
export interface Batcher<I, O> {
  submit(item: I): Promise<O>;
  /** Many at once, which need not go in one batch. Answers one result an item, in order; never rejects. */
  submitAll(items: readonly I[]): Promise<readonly (O | Error)[]>;
}

export interface BatcherOptions<I, O> {
  readonly maxItems: number;
  /** How many batches may be under way at a time. */
  readonly maxInFlight: number;
  /** The weight of an item, where items differ much in size; a batch is closed when the sum reaches `maxWeight`. */
  readonly weigh?: (item: I) => number;
  readonly maxWeight?: number;
  /** Answers one result an item, in order. A result that is an Error rejects its own caller only. */
  readonly run: (items: readonly I[]) => Promise<readonly (O | Error)[]>;
}

interface Waiting<I, O> {
  readonly item: I;
  readonly settle: (output: O | Error) => void;
}

/**
 * When a batch fails, it is split in two and each half is tried again, down to the single item whose fault it is; that one
 * alone gets the error. A database that cannot be reached is no item's fault, and nobody knows whether the batch was
 * carried out: then all get the error, and nothing is done twice.
 */
export function createBatcher<I, O>(options: BatcherOptions<I, O>): Batcher<I, O> {
  let waiting: Waiting<I, O>[] = [];
  let inFlight = 0;
  let scheduled = false;

  function flush(): void {
    scheduled = false;
    while (waiting.length > 0 && inFlight < options.maxInFlight) {
      const batch = take();
      inFlight += 1;
      void runBatch(batch).then(() => {
        inFlight -= 1;
        schedule();
      });
    }
  }

  function schedule(): void {
    if (scheduled || waiting.length === 0 || inFlight >= options.maxInFlight) return;
    scheduled = true;
    // After the callbacks of this turn, so that callers who arrive together go together.
    setImmediate(flush);
  }

  function take(): Waiting<I, O>[] {
    let count = Math.min(waiting.length, options.maxItems);
    if (options.weigh !== undefined && options.maxWeight !== undefined) {
      let weight = 0;
      for (let index = 0; index < count; index++) {
        const entry = waiting[index];
        if (entry !== undefined) weight += options.weigh(entry.item);
        if (weight >= options.maxWeight) count = index + 1;
      }
    }
    const batch = waiting.slice(0, count);
    waiting = waiting.slice(count);
    return batch;
  }

  async function runBatch(batch: readonly Waiting<I, O>[]): Promise<void> {
    let outputs: readonly (O | Error)[];
    try {
      outputs = await options.run(batch.map(({ item }) => item));
    } catch (error) {
      if (batch.length === 1 || (error instanceof AppError && error.kind === 'unavailable')) {
        const failure = error instanceof Error ? error : new Error(messageOf(error), { cause: error });
        for (const { settle } of batch) settle(failure);
        return;
      }
      const middle = Math.ceil(batch.length / 2);
      await runBatch(batch.slice(0, middle));
      await runBatch(batch.slice(middle));
      return;
    }
    batch.forEach(({ settle }, index) => settle(outputs[index] as O | Error));
  }

  return {
    submit(item) {
      return new Promise((resolve, reject) => {
        waiting.push({ item, settle: (output) => (output instanceof Error ? reject(output) : resolve(output)) });
        schedule();
      });
    },
    submitAll(items) {
      if (items.length === 0) return Promise.resolve([]);
      return new Promise((resolve) => {
        const outputs: (O | Error)[] = [];
        let open = items.length;
        items.forEach((item, index) => {
          const settle = (output: O | Error): void => {
            outputs[index] = output;
            if (--open === 0) resolve(outputs);
          };
          waiting.push({ item, settle });
        });
        schedule();
      });
    },
  };
}
