/** An event that was committed, in the order of its writer. */
export interface Written {
  readonly entity: string;
  /** Unlike any other; `<writer>-<step>`, where steps of an entity count up. */
  readonly mark: string;
}

/** What a reader was told, in the order in which it was. */
export type Reading = readonly (Written & { readonly seq: number })[];

/** What is wrong with what readers were told, in words; nothing when the ledger's promise was kept. */
export function findFaults(written: readonly Written[], readings: readonly Reading[]): string[] {
  const committed = new Set(written.map(({ mark }) => mark));
  const bySeq = new Map<number, { readonly mark: string; readonly reader: number }>();
  return readings.flatMap((reading, reader) => {
    const faults: string[] = [];
    const told = new Set<string>();
    const lastOf = new Map<string, string>();
    let last: number | undefined;
    for (const { seq, entity, mark } of reading) {
      if (seq !== (last ?? 0) + 1) faults.push(`reader ${reader}: ${seq} comes after ${last ?? 'the beginning'}`);
      last = seq;
      const other = bySeq.get(seq);
      if (other === undefined) bySeq.set(seq, { mark, reader });
      else if (other.mark !== mark) faults.push(`readers ${other.reader} and ${reader} differ about ${seq}`);
      if (mark === 'end') continue;
      if (told.has(mark)) faults.push(`reader ${reader} was told ${mark} twice`);
      told.add(mark);
      if (!committed.has(mark)) faults.push(`reader ${reader} was told ${mark}, which was not committed`);
      const before = lastOf.get(entity);
      if (before !== undefined && stepOf(before) > stepOf(mark)) {
        faults.push(`reader ${reader} was told ${mark} after ${before}`);
      }
      lastOf.set(entity, mark);
    }
    for (const mark of committed) if (!told.has(mark)) faults.push(`reader ${reader} was not told ${mark}`);
    return faults;
  });
}

function stepOf(mark: string): number {
  return Number(mark.split('-').at(-1));
}
