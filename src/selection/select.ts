import { keepRecords, type RecordBatch } from '../model/batch.js';
import type { KeySelection } from '../model/source.js';
import { keyOf } from '../wire/keyvalue.js';
import { KeySet } from './key-set.js';
import { startsWith } from './prefix.js';

/** True when the selection leaves nothing out. */
export function selectsAll(selection: KeySelection): boolean {
  return selection.excludePrefixes.length === 0 && (selection.prefixes.length === 0 || selection.prefixes.some((p) => p.length === 0));
}

/** Whether a key is wanted: under one of the prefixes (or there are none), and under no excluded one. */
export function isSelected(key: Buffer, selection: KeySelection): boolean {
  if (selection.excludePrefixes.some((prefix) => startsWith(key, prefix))) return false;
  return selection.prefixes.length === 0 || selection.prefixes.some((prefix) => startsWith(key, prefix));
}

/** What both selections want: nothing, where they have no key in common. */
export function intersectSelections(a: KeySelection, b: KeySelection): KeySelection {
  if (selectsAll(a)) return b;
  return selectsAll(b) ? a : KeySet.of(a).intersect(KeySet.of(b)).selection();
}

/**
 * Drops the records whose key is not selected. The batches handed on share the memory of those
 * taken; one with nothing left is dropped. Works for any record whose field 1 is its key: an
 * `mvccpb.KeyValue`, or the archive's v2 `Node` with its path.
 */
export function selectRecords(batches: AsyncIterable<RecordBatch>, selection: KeySelection): AsyncIterable<RecordBatch> {
  return selectsAll(selection) ? batches : selectEach(batches, selection);
}

async function* selectEach(batches: AsyncIterable<RecordBatch>, selection: KeySelection): AsyncGenerator<RecordBatch> {
  for await (const batch of batches) {
    const selected = filterBatch(batch, (key) => isSelected(key, selection));
    if (selected.count > 0) yield selected;
  }
}

/** The records of a batch whose key is wanted, sharing its memory; the batch itself when all are. */
export function filterBatch(batch: RecordBatch, wanted: (key: Buffer) => boolean): RecordBatch {
  return keepRecords(batch, (bytes, start, end) => wanted(keyOf(bytes, start, end)));
}
