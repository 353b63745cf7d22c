/** A run of revisions, both ends in it. */
export type RevisionRange = readonly [first: bigint, last: bigint];

/** Revisions, kept as runs: those of a writer that is alone are one, whatever their number. */
export class RevisionSet {
  /** Ascending, with at least one revision missing between two. */
  readonly #ranges: [bigint, bigint][] = [];

  get isEmpty(): boolean {
    return this.#ranges.length === 0;
  }

  /** The largest; 0n when there is none. */
  get last(): bigint {
    return this.#ranges.at(-1)?.[1] ?? 0n;
  }

  has(revision: bigint): boolean {
    const range = this.#ranges[this.#after(revision) - 1];
    return range !== undefined && revision <= range[1];
  }

  add(first: bigint, last: bigint = first): void {
    // The first run that the new one touches, and the first behind it that it does not.
    let from = this.#after(first);
    if (from > 0 && (this.#ranges[from - 1] as [bigint, bigint])[1] >= first - 1n) from--;
    let to = from;
    let [low, high] = [first, last];
    for (let range = this.#ranges[to]; range !== undefined && range[0] <= last + 1n; range = this.#ranges[++to]) {
      if (range[0] < low) low = range[0];
      if (range[1] > high) high = range[1];
    }
    this.#ranges.splice(from, to - from, [low, high]);
  }

  /** The runs, ascending. */
  ranges(): readonly RevisionRange[] {
    return this.#ranges;
  }

  /** How many runs begin at or before the revision. */
  #after(revision: bigint): number {
    let [low, high] = [0, this.#ranges.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as [bigint, bigint])[0] <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
