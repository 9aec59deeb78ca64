import type { Histogram, Metric, Registry } from 'prom-client';

/** Counts one more. `labels`: the values, in the order of their names. */
export type Observe = (labels: readonly string[], value: number) => void;

export interface HistogramOptions {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  /** Upper bounds, ascending. */
  readonly buckets: readonly number[];
}

/** What has been observed under the same labels. */
interface Series {
  readonly labels: Readonly<Record<string, string>>;
  /** By bucket; the last is of what is above all bounds. */
  readonly counts: number[];
  sum: number;
}

interface Node {
  readonly next: Map<string, Node>;
  series: Series | undefined;
}

/**
 * Reads as prom-client's histograms do, but counts at a tenth of their cost: those check and hash their labels anew each time, which is
 * felt where every call is counted twice.
 */
export function createHistogram(registry: Registry, options: HistogramOptions): Observe {
  const { name, help, labelNames, buckets } = options;
  const all: Series[] = [];
  const root: Node = { next: new Map(), series: undefined };

  function seriesOf(values: readonly string[]): Series {
    let at = root;
    for (const value of values) {
      let next = at.next.get(value);
      if (next === undefined) at.next.set(value, (next = { next: new Map(), series: undefined }));
      at = next;
    }
    if (at.series === undefined) {
      const labels = Object.fromEntries(labelNames.map((label, index) => [label, values[index] ?? '']));
      all.push((at.series = { labels, counts: Array.from({ length: buckets.length + 1 }, () => 0), sum: 0 }));
    }
    return at.series;
  }

  function linesOf({ labels, counts, sum }: Series) {
    let upTo = 0;
    const lines = counts.map((count, index) => ({
      metricName: `${name}_bucket`,
      labels: { le: buckets[index] ?? '+Inf', ...labels },
      value: (upTo += count),
    }));
    return [
      ...lines,
      { metricName: `${name}_sum`, labels, value: sum },
      { metricName: `${name}_count`, labels, value: upTo },
    ];
  }

  const get = async (): ReturnType<Histogram['get']> =>
    ({ name, help, type: 'histogram', aggregator: 'sum', values: all.flatMap(linesOf) }) as never;
  // The registry asks for no more than this.
  registry.registerMetric({ name, get } as Pick<Histogram, 'get'> as Metric);

  return (labels, value) => {
    const series = seriesOf(labels);
    let bucket = 0;
    while (bucket < buckets.length && value > (buckets[bucket] ?? 0)) bucket += 1;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += value;
  };
}
