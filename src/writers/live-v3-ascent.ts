import { type Columns, compareKey, keyAt } from './live-v3-columns.js';

/**
 * Watches whether records come in ascending order of their keys, as all do but those of a tree: `/a/b`
 * stands there before `/a-b`, whose bytes come first.
 */
export class Ascent {
  #highest: Buffer | undefined;

  /**
   * Takes the next records, and puts them in ascending order if they are not.
   *
   * @param picked their indices; changed in place
   * @returns true when each of them comes after all that were taken before, so that nothing of ours
   *   lies between them
   */
  take(columns: Columns, picked: number[]): boolean {
    if (picked.length === 0) return true;
    const ascends = inOrder(columns, picked);
    if (!ascends) picked.sort((a, b) => compareKey(columns, a, keyAt(columns, b)));
    const isAbove = this.#highest === undefined || compareKey(columns, picked[0] as number, this.#highest) > 0;
    const last = picked.at(-1) as number;
    // A copy: the batch's memory would live on.
    if (this.#highest === undefined || compareKey(columns, last, this.#highest) > 0) this.#highest = Buffer.from(keyAt(columns, last));
    return isAbove;
  }
}

function inOrder(columns: Columns, picked: readonly number[]): boolean {
  for (let p = 1; p < picked.length; p++) {
    if (compareKey(columns, picked[p] as number, keyAt(columns, picked[p - 1] as number)) <= 0) return false;
  }
  return true;
}
