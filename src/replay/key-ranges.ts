import type { KeyRange } from '../wire/raft-v3.js';

interface Interval {
  readonly from: string;
  /** Just past the last; undefined for all from `from` on. */
  readonly to: string | undefined;
}

/** A set of keys and ranges of keys, asked about by latin-1 strings, a character per byte. */
export class KeyRanges {
  #intervals: Interval[] = [];
  readonly #keys = new Set<string>();
  #merged = true;

  add({ key, end }: KeyRange): void {
    const from = key.toString('latin1');
    if (end === undefined) {
      this.#keys.add(from);
      return;
    }
    this.#intervals.push({ from, to: end.length === 0 ? undefined : end.toString('latin1') });
    this.#merged = false;
  }

  has(key: string): boolean {
    if (this.#keys.has(key)) return true;
    const interval = this.#before(key);
    return interval !== undefined && (interval.to === undefined || key < interval.to);
  }

  /** The last interval that begins at a key or before it. */
  #before(key: string): Interval | undefined {
    if (!this.#merged) this.#merge();
    let [low, high] = [0, this.#intervals.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#intervals[middle] as Interval).from <= key) low = middle + 1;
      else high = middle;
    }
    return this.#intervals[low - 1];
  }

  /** Sorts the intervals and joins those that touch. */
  #merge(): void {
    const merged: Interval[] = [];
    for (const interval of this.#intervals.sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))) {
      const last = merged.at(-1);
      if (last === undefined || (last.to !== undefined && last.to < interval.from)) merged.push(interval);
      else if (last.to !== undefined && (interval.to === undefined || last.to < interval.to)) {
        merged[merged.length - 1] = { from: last.from, to: interval.to };
      }
    }
    this.#intervals = merged;
    this.#merged = true;
  }
}
