import type { RecordOrder } from '../model/source.js';
import { compareTreeSpans } from '../model/tree-path.js';
import { compareKeys as compareBytes } from '../sort/key.js';

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
  const compare = order === 'tree' ? compareTreeSpans : compareBytes;
  return compare(a, aStart, aEnd, b, bStart, bEnd);
}
