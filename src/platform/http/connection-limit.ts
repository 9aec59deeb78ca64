import { networkOf } from '../net.js';

/** Counts the connections of each address. */
export interface ConnectionLimit {
  /** Answers what is to be called when the connection has ended; undefined when there are too many already. */
  enter(address: string | undefined): (() => void) | undefined;
}

interface Place {
  count: number;
  /** Whether it has been told that there are too many. */
  told: boolean;
}

/**
 * `limit`: most connections from one address, undefined for any number. `onFull` is told once when an address meets it, and again only
 * after half of its connections have gone, so that a flood does not fill the log as well.
 */
export function createConnectionLimit(
  limit: number | undefined,
  onFull: (address: string, limit: number) => void,
): ConnectionLimit {
  const places = new Map<string, Place>();
  return {
    enter(address) {
      // Without an address the connection has ended already.
      if (limit === undefined || address === undefined) return () => undefined;
      const key = networkOf(address);
      const place = places.get(key) ?? { count: 0, told: false };
      if (place.count >= limit) {
        if (!place.told) onFull(address, limit);
        place.told = true;
        return undefined;
      }
      place.count += 1;
      places.set(key, place);
      return () => {
        place.count -= 1;
        if (place.count <= limit / 2) place.told = false;
        if (place.count === 0) places.delete(key);
      };
    },
  };
}
