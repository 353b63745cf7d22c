import { prefixEnd } from '../convert/prefix.js';
import type { KeySelection } from '../model/source.js';

/** Keys from `start` up to, but not including, `end`; no `end` means to the last key. */
export interface KeyRange {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
}

/** The smallest key etcd can hold: the empty key is refused (v3rpc/key.go). */
const FIRST_KEY: Buffer = Buffer.from([0]);

/** Disjoint ranges, in key order, that hold every key selected and none that is excluded. */
export function rangesOf(selection: KeySelection): KeyRange[] {
  const prefixes = selection.prefixes.length === 0 ? [Buffer.alloc(0)] : selection.prefixes;
  const wanted = merge(prefixes.map(rangeOfPrefix));
  return merge(selection.excludePrefixes.map(rangeOfPrefix)).reduce(cutOut, wanted);
}

/** All keys that begin with the prefix. */
export function rangeOfPrefix(prefix: Buffer): KeyRange {
  return { start: prefix.length === 0 ? FIRST_KEY : prefix, end: prefixEnd(prefix) };
}

/** Compares two ends, of which "none" is the greatest. */
export function compareEnds(a: Buffer | undefined, b: Buffer | undefined): number {
  if (a === undefined || b === undefined) return a === b ? 0 : a === undefined ? 1 : -1;
  return Buffer.compare(a, b);
}

function merge(ranges: readonly KeyRange[]): KeyRange[] {
  const merged: KeyRange[] = [];
  for (const range of ranges.toSorted((a, b) => Buffer.compare(a.start, b.start))) {
    const last = merged.at(-1);
    if (last === undefined || (last.end !== undefined && Buffer.compare(last.end, range.start) < 0)) merged.push(range);
    else if (compareEnds(range.end, last.end) > 0) merged[merged.length - 1] = { start: last.start, end: range.end };
  }
  return merged;
}

function cutOut(ranges: readonly KeyRange[], hole: KeyRange): KeyRange[] {
  return ranges.flatMap(({ start, end }) => {
    const pieces: KeyRange[] = [];
    const before = compareEnds(end, hole.start) < 0 ? end : hole.start;
    if (compareEnds(start, before) < 0) pieces.push({ start, end: before });
    if (hole.end === undefined) return pieces;
    const after = compareEnds(start, hole.end) > 0 ? start : hole.end;
    if (compareEnds(after, end) < 0) pieces.push({ start: after, end });
    return pieces;
  });
}
