import type { RecordOrder } from '../model/source.js';

const SLASH = 0x2f;

/**
 * Compares two keys in the order of an archive's records. `key` and `revision` go by bytes. `tree`
 * goes by bytes with `/` before all others, which puts parents before children and siblings by bytes.
 *
 * @returns less than, equal to or greater than 0
 */
export function compareKeys(order: RecordOrder, a: Buffer, b: Buffer): number {
  return compareSpans(order, a, 0, a.length, b, 0, b.length);
}

/** `compareKeys` of two parts of buffers. */
export function compareSpans(order: RecordOrder, a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): number {
  const common = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < common; i++) {
    const x = a[aStart + i] as number;
    const y = b[bStart + i] as number;
    if (x === y) continue;
    if (order === 'tree') {
      if (x === SLASH) return -1;
      if (y === SLASH) return 1;
    }
    return x - y;
  }
  return aEnd - aStart - (bEnd - bStart);
}
