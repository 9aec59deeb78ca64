import { type Batcher, type BatcherOptions, createBatcher } from './batcher.js';
import type { Db, Tx } from './db.js';

/** What came of writing many: a result each, in order, and what is to be told to others once it has been committed. */
export interface Written<O> {
  readonly outputs: readonly (O | Error)[];
  readonly committed: () => void;
}

export interface Writer<I, O> extends Pick<Batcher<I, O>, 'submitAll'> {
  /**
   * Writes one item, together with those of other callers. With `also` in a transaction of its own, of which that is the last
   * step: it is committed with both or not at all.
   */
  submit(item: I, also?: (tx: Tx, output: O) => Promise<void>): Promise<O>;
}

export type WriterOptions<I, O> = Omit<BatcherOptions<I, O>, 'run'> & {
  /** An output that is an Error is its own caller's alone, and nothing has been written for it. */
  readonly run: (items: readonly I[], on: Db | Tx) => Promise<Written<O>>;
};

/** Writes for many callers in few commits, as the batcher does, and for some in one of their own. */
export function createWriter<I, O>(db: Db, { run, ...options }: WriterOptions<I, O>): Writer<I, O> {
  const batcher = createBatcher<I, O>({
    ...options,
    run: async (items) => {
      const { outputs, committed } = await run(items, db);
      committed();
      return outputs;
    },
  });

  async function writeAlone(item: I, also: (tx: Tx, output: O) => Promise<void>): Promise<O> {
    const { output, committed } = await db.transaction(async (tx) => {
      const written = await run([item], tx);
      const [first] = written.outputs;
      if (first instanceof Error) throw first;
      await also(tx, first as O);
      return { output: first as O, committed: written.committed };
    });
    committed();
    return output;
  }

  return {
    submit: (item, also) => (also === undefined ? batcher.submit(item) : writeAlone(item, also)),
    submitAll: batcher.submitAll,
  };
}
