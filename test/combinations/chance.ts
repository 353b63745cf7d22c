import { numbers } from '../support/v2-workload.js';

/** Random choices that follow from a seed alone. */
export class Chance {
  readonly #below: (n: number) => number;

  constructor(seed: number) {
    this.#below = numbers(seed);
  }

  /** A whole number from 0 to n - 1. */
  below(n: number): number {
    return this.#below(n);
  }

  /** True in so many of a hundred cases. */
  percent(n: number): boolean {
    return this.#below(100) < n;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  /** So many different members of a list, or all of it, in the list's order. */
  some<T>(list: readonly T[], count: number): T[] {
    const left = new Set(list.map((_, i) => i));
    while (left.size > Math.max(0, list.length - count)) left.delete(this.pick([...left]));
    return list.filter((_, i) => !left.has(i));
  }

  /** Members of a list: mostly none, sometimes one, seldom more. */
  few<T>(list: readonly T[], percent: number): T[] {
    if (!this.percent(percent)) return [];
    return this.some(list, this.percent(70) ? 1 : 2);
  }
}
