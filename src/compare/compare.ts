import type { RecordBatch } from '../model/batch.js';
import type { Api } from '../model/source.js';
import { compareTreeSpans } from '../model/tree-path.js';
import { compareKeys } from '../sort/key.js';
import { type ChangedPart, PartComparer, sameBytes } from './parts.js';
import { type CompareKeys, Side } from './side.js';

export interface CompareOptions {
  /** Of both sides: v3 records are in key order, v2 nodes in tree order. */
  readonly api: Api;
  /** Count create, mod and version too (v2: created and modified index). */
  readonly revisions?: boolean;
  /** Count the lease a key is attached to (v2: whether a node expires); never what remains of a TTL. */
  readonly leases?: boolean;
  /** The sides' names, for messages; `left` and `right` when not given. */
  readonly names?: readonly [left: string, right: string];
}

/**
 * One key that differs: only on the right (`added`), only on the left (`removed`), or on both sides with
 * different content. Records are as their source gave them, to be decoded by its api, and share the
 * memory of its batches.
 */
export type Difference =
  | { readonly kind: 'added'; readonly key: Buffer; readonly right: Buffer }
  | { readonly kind: 'removed'; readonly key: Buffer; readonly left: Buffer }
  | {
      readonly kind: 'changed';
      readonly key: Buffer;
      readonly left: Buffer;
      readonly right: Buffer;
      /** What differs; never empty. */
      readonly parts: readonly ChangedPart[];
    };

/** How many keys a comparison has seen so far. */
export interface ComparisonCounts {
  readonly equal: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

/** A comparison to be read once, difference by difference; `counts` is complete when it has ended. */
export interface Comparison extends AsyncIterable<Difference> {
  readonly counts: ComparisonCounts;
}

type Counts = { -readonly [K in keyof ComparisonCounts]: number };

/**
 * Merges two sources of the same api, each in the order of its api, and gives the keys that differ, in that
 * order. Nothing is decoded of records whose bytes are equal, and no more than a batch of each side is
 * held. Keys and values are compared, of v2 also whether a node is a directory.
 *
 * Reading stops at once when its consumer stops; both sides are let go then.
 *
 * @throws FerryError while it is read: `damaged` for a side that is not in order or holds what is no
 *   record, and whatever the sides throw
 */
export function compareSources(left: AsyncIterable<RecordBatch>, right: AsyncIterable<RecordBatch>, options: CompareOptions): Comparison {
  const counts: Counts = { equal: 0, added: 0, removed: 0, changed: 0 };
  return { counts, [Symbol.asyncIterator]: () => merge(left, right, options, counts) };
}

async function* merge(
  leftBatches: AsyncIterable<RecordBatch>,
  rightBatches: AsyncIterable<RecordBatch>,
  { api, revisions = false, leases = false, names = ['left', 'right'] }: CompareOptions,
  counts: Counts,
): AsyncGenerator<Difference> {
  const order = api === 'v2' ? compareTreeSpans : compareKeys;
  const parts = new PartComparer(api, { revisions, leases });
  const left = new Side(names[0], leftBatches, order);
  const right = new Side(names[1], rightBatches, order);
  try {
    await Promise.all([left.turn(), right.turn()]);
    while (!left.ended || !right.ended) {
      const which = firstOf(left, right, order);
      const difference = which < 0 ? removed(left) : which > 0 ? added(right) : changed(left, right, parts);
      counts[difference?.kind ?? 'equal']++;
      if (difference !== undefined) yield difference;
      const [needLeft, needRight] = [which <= 0 && !left.step(), which >= 0 && !right.step()];
      if (needLeft && needRight) await Promise.all([left.turn(), right.turn()]);
      else if (needLeft) await left.turn();
      else if (needRight) await right.turn();
    }
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
}

/** Negative when the left side's record comes first, positive when the right one's does, 0 for the same key. */
function firstOf(left: Side, right: Side, order: CompareKeys): number {
  if (left.ended) return 1;
  if (right.ended) return -1;
  return order(left.bytes, left.key.start, left.key.end, right.bytes, right.key.start, right.key.end);
}

function added(right: Side): Difference {
  return { kind: 'added', key: keyOf(right), right: right.record() };
}

function removed(left: Side): Difference {
  return { kind: 'removed', key: keyOf(left), left: left.record() };
}

function changed(left: Side, right: Side, comparer: PartComparer): Difference | undefined {
  if (sameBytes(left.bytes, left.start, left.end, right.bytes, right.start, right.end)) return undefined;
  const parts = comparer.differing(left.bytes, left.start, left.end, right.bytes, right.start, right.end);
  return parts.length === 0 ? undefined : { kind: 'changed', key: keyOf(left), left: left.record(), right: right.record(), parts };
}

function keyOf({ bytes, key }: Side): Buffer {
  return bytes.subarray(key.start, key.end);
}
