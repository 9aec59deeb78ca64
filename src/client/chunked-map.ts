const mostInChunk = 256;

/** Consecutive entries, sorted by key. */
interface Chunk<V> {
  readonly keys: readonly string[];
  readonly values: readonly V[];
}

const emptyChunk = { keys: [], values: [] };

/**
 * A map that never changes, in the order of its keys. `with` makes another one that shares all chunks but one with it, so
 * that it copies some hundred entries of a hundred thousand. Works in browsers.
 */
export class ChunkedMap<V> implements ReadonlyMap<string, V> {
  readonly size: number;
  readonly #chunks: readonly Chunk<V>[];

  private constructor(chunks: readonly Chunk<V>[], size: number) {
    this.#chunks = chunks;
    this.size = size;
  }

  static empty<V>(): ChunkedMap<V> {
    return new ChunkedMap<V>([], 0);
  }

  get(key: string): V | undefined {
    const { keys, values } = this.#chunks[this.#placeOf(key)] ?? emptyChunk;
    const last = countUpTo(keys, key) - 1;
    return keys[last] === key ? values[last] : undefined;
  }

  has(key: string): boolean {
    const { keys } = this.#chunks[this.#placeOf(key)] ?? emptyChunk;
    return keys[countUpTo(keys, key) - 1] === key;
  }

  /** The same map, but with this value under the key. */
  with(key: string, value: V): ChunkedMap<V> {
    const place = this.#placeOf(key);
    const chunk: Chunk<V> = this.#chunks[place] ?? emptyChunk;
    const count = countUpTo(chunk.keys, key);
    const isThere = chunk.keys[count - 1] === key;
    const changed = isThere
      ? [{ keys: chunk.keys, values: chunk.values.with(count - 1, value) }]
      : split({ keys: chunk.keys.toSpliced(count, 0, key), values: chunk.values.toSpliced(count, 0, value) }, count);
    return new ChunkedMap(this.#chunks.toSpliced(place, 1, ...changed), isThere ? this.size : this.size + 1);
  }

  /** The same map, but without this key. */
  without(key: string): ChunkedMap<V> {
    const place = this.#placeOf(key);
    const chunk: Chunk<V> = this.#chunks[place] ?? emptyChunk;
    const index = countUpTo(chunk.keys, key) - 1;
    if (chunk.keys[index] !== key) return this;
    const rest = { keys: chunk.keys.toSpliced(index, 1), values: chunk.values.toSpliced(index, 1) };
    // An empty chunk would have no first key to be found by.
    const left = rest.keys.length === 0 ? [] : [rest];
    return new ChunkedMap(this.#chunks.toSpliced(place, 1, ...left), this.size - 1);
  }

  *entries(): Generator<[string, V], undefined> {
    for (const { keys, values } of this.#chunks) {
      // As many as there are keys, so each is there.
      for (const [index, key] of keys.entries()) yield [key, values[index] as V];
    }
    return undefined;
  }

  *keys(): Generator<string, undefined> {
    for (const { keys } of this.#chunks) yield* keys;
    return undefined;
  }

  *values(): Generator<V, undefined> {
    for (const { values } of this.#chunks) yield* values;
    return undefined;
  }

  [Symbol.iterator](): Generator<[string, V], undefined> {
    return this.entries();
  }

  forEach(callback: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    for (const [key, value] of this) callback(value, key, this);
  }

  /** The last chunk that begins at or before the key; before all of them it is the first. */
  #placeOf(key: string): number {
    return Math.max(0, countWhile(this.#chunks.length, (index) => (this.#chunks[index]?.keys[0] ?? '') <= key) - 1);
  }
}

/** In two when it has become too long: in half, but after the end a new one begins, so that keys that only rise fill chunks. */
function split<V>(chunk: Chunk<V>, added: number): Chunk<V>[] {
  const { keys, values } = chunk;
  if (keys.length <= mostInChunk) return [chunk];
  const at = added === keys.length - 1 ? added : keys.length >> 1;
  return [
    { keys: keys.slice(0, at), values: values.slice(0, at) },
    { keys: keys.slice(at), values: values.slice(at) },
  ];
}

function countUpTo(keys: readonly string[], key: string): number {
  return countWhile(keys.length, (index) => (keys[index] ?? '') <= key);
}

/** How many of `count` there are up to the first that does not hold; after it none does. */
function countWhile(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) low = middle + 1;
    else high = middle;
  }
  return low;
}
