import { AppError } from '../../errors.js';

/**
 * Gathers what concurrent callers want into one statement and one commit. A caller that finds nobody ahead is served at
 * once; while a batch is under way the next one fills, so that the batch size follows the load by itself and no timer is
 * needed. Each caller is answered only when its batch has been committed.
 */
export interface Batcher<I, O> {
  submit(item: I): Promise<O>;
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
  readonly resolve: (output: O) => void;
  readonly reject: (error: unknown) => void;
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
        for (const { reject } of batch) reject(error);
        return;
      }
      const middle = Math.ceil(batch.length / 2);
      await runBatch(batch.slice(0, middle));
      await runBatch(batch.slice(middle));
      return;
    }
    batch.forEach(({ resolve, reject }, index) => {
      const output = outputs[index] as O | Error;
      if (output instanceof Error) reject(output);
      else resolve(output);
    });
  }

  return {
    submit: (item) =>
      new Promise((resolve, reject) => {
        waiting.push({ item, resolve, reject });
        schedule();
      }),
  };
}
