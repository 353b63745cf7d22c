/** Where a record's sort key lies, as offsets into the bytes the record is in. */
export interface KeyRange {
  start: number;
  end: number;
}

/**
 * Finds the sort key of the record at `bytes[start, end)` and says so in `range`. Keys are compared
 * as unsigned bytes, a prefix before what it is a prefix of.
 */
export type FindKey = (bytes: Buffer, start: number, end: number, range: KeyRange) => void;

/** The order of two keys: negative, zero or positive. In the language itself: for short keys native calls cost more. */
export function compareKeys(a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): number {
  const shared = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < shared; i++) {
    const difference = (a[aStart + i] as number) - (b[bStart + i] as number);
    if (difference !== 0) return difference;
  }
  return aEnd - aStart - (bEnd - bStart);
}
