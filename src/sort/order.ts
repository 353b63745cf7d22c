import { compareKeys } from './key.js';

/** Bytes of a key that are compared at once: as many as a double holds exactly, with their count. */
const CHUNK = 6;
const COUNT_SCALE = 8;
const INSERTION = 12;

/** The keys to be ordered: key i is `bytes[starts[i], ends[i])`. */
export interface Keys {
  readonly bytes: Buffer;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  readonly count: number;
}

/**
 * The indices of the keys in ascending order; equal keys stay in the order they came.
 *
 * A multikey quicksort (Bentley and Sedgewick, 1997) that looks at six bytes at once: the long
 * prefixes that keys share are read once a partition, not once a comparison.
 */
export function orderOf(keys: Keys): Uint32Array {
  const order = new Uint32Array(keys.count);
  for (let i = 0; i < order.length; i++) order[i] = i;
  if (!isOrdered(keys)) new Sorter(keys, order).sort();
  return order;
}

function isOrdered({ bytes, starts, ends, count }: Keys): boolean {
  for (let i = 1; i < count; i++) {
    if (compareKeys(bytes, at(starts, i - 1), at(ends, i - 1), bytes, at(starts, i), at(ends, i)) > 0) return false;
  }
  return true;
}

class Sorter {
  readonly #keys: Keys;
  readonly #order: Uint32Array;
  /** chunks[i] is the part of key order[i] that is compared now. */
  readonly #chunks: Float64Array;
  /** Ranges still to be sorted: from, to, depth in bytes; and whether their chunks are loaded (1) or not (0). */
  readonly #todo: number[] = [];
  #random = 1;

  constructor(keys: Keys, order: Uint32Array) {
    this.#keys = keys;
    this.#order = order;
    this.#chunks = new Float64Array(keys.count);
  }

  sort(): void {
    const todo = this.#todo;
    todo.push(0, this.#order.length, 0, 0);
    while (todo.length > 0) {
      const loaded = todo.pop() as number;
      const depth = todo.pop() as number;
      const to = todo.pop() as number;
      const from = todo.pop() as number;
      if (to - from <= INSERTION) {
        this.#insert(from, to, depth);
        continue;
      }
      if (loaded === 0) this.#load(from, to, depth);
      this.#partition(from, to, depth);
    }
  }

  /** Three parts: smaller than a pivot, equal to it, larger. The equal one goes on at the next bytes. */
  #partition(from: number, to: number, depth: number): void {
    const chunks = this.#chunks;
    const pivot = this.#pivot(from, to);
    let low = from;
    let high = to;
    for (let i = from; i < high; ) {
      const chunk = chunks[i] as number;
      if (chunk < pivot) this.#swap(low++, i++);
      else if (chunk > pivot) this.#swap(i, --high);
      else i++;
    }
    if (low - from > 1) this.#todo.push(from, low, depth, 1);
    if (to - high > 1) this.#todo.push(high, to, depth, 1);
    if (high - low <= 1) return;
    // A chunk that is not full is the end of its key: these keys are equal.
    if (pivot % COUNT_SCALE < CHUNK) this.#order.subarray(low, high).sort();
    else this.#todo.push(low, high, depth + CHUNK, 0);
  }

  #pivot(from: number, to: number): number {
    const a = this.#sample(from, to);
    const b = this.#sample(from, to);
    const c = this.#sample(from, to);
    return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
  }

  /** Any element, so that no input is slow on purpose. */
  #sample(from: number, to: number): number {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) >>> 0;
    return this.#chunks[from + (this.#random % (to - from))] as number;
  }

  #load(from: number, to: number, depth: number): void {
    const { bytes, starts, ends } = this.#keys;
    for (let i = from; i < to; i++) {
      const key = this.#order[i] as number;
      const start = at(starts, key) + depth;
      const present = Math.min(CHUNK, at(ends, key) - start);
      let chunk = 0;
      for (let k = 0; k < CHUNK; k++) chunk = chunk * 256 + (k < present ? (bytes[start + k] as number) : 0);
      this.#chunks[i] = chunk * COUNT_SCALE + present;
    }
  }

  #insert(from: number, to: number, depth: number): void {
    const { bytes, starts, ends } = this.#keys;
    const order = this.#order;
    for (let i = from + 1; i < to; i++) {
      const key = order[i] as number;
      let j = i - 1;
      for (; j >= from; j--) {
        const other = order[j] as number;
        const c = compareKeys(bytes, at(starts, other) + depth, at(ends, other), bytes, at(starts, key) + depth, at(ends, key));
        if (c < 0 || (c === 0 && other < key)) break;
        order[j + 1] = other;
      }
      order[j + 1] = key;
    }
  }

  #swap(i: number, j: number): void {
    const order = this.#order;
    const chunks = this.#chunks;
    const key = order[i] as number;
    const chunk = chunks[i] as number;
    order[i] = order[j] as number;
    chunks[i] = chunks[j] as number;
    order[j] = key;
    chunks[j] = chunk;
  }
}

function at(array: Uint32Array, i: number): number {
  return array[i] as number;
}
