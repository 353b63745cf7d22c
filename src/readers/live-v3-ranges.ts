import type { KeySelection } from '../model/source.js';
import { type KeyRange, KeySet } from '../selection/key-set.js';

export type { KeyRange } from '../selection/key-set.js';

/** Disjoint ranges, in key order, that hold every key selected and none that is excluded. */
export function rangesOf(selection: KeySelection): KeyRange[] {
  return KeySet.of(selection).ranges();
}

/** Compares two ends, of which "none" is the greatest. */
export function compareEnds(a: Buffer | undefined, b: Buffer | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1;
  return Buffer.compare(a, b);
}
