/** What failed and is left alone for a while, each time it fails again for twice as long. In memory, so that a new server tries at once. */
export interface BackOff {
  /** Answers whether it failed for another reason than the time before, so that it is worth telling. */
  failed(key: string, reason: string): boolean;
  /** It has succeeded, or is to be tried again at once as if it had not failed. */
  release(key: string): void;
  /** What is to be left alone for now. */
  resting(): readonly string[];
}

export interface BackOffOptions {
  readonly now: () => Date;
  readonly firstMs: number;
  readonly mostMs: number;
}

interface Failure {
  readonly reason: string;
  readonly ms: number;
  readonly until: number;
}

export function createBackOff({ now, firstMs, mostMs }: BackOffOptions): BackOff {
  const failures = new Map<string, Failure>();
  return {
    failed(key, reason) {
      const before = failures.get(key);
      const ms = before === undefined ? firstMs : Math.min(before.ms * 2, mostMs);
      failures.set(key, { reason, ms, until: now().getTime() + ms });
      return reason !== before?.reason;
    },
    release: (key) => void failures.delete(key),
    resting() {
      const at = now().getTime();
      // What nobody has tried again for so long is no more, or somebody else has seen to it.
      for (const [key, { until }] of failures) if (until + 2 * mostMs < at) failures.delete(key);
      return [...failures].filter(([, { until }]) => until > at).map(([key]) => key);
    },
  };
}
