import type { RecordBatch } from '../model/batch.js';
import { BatchBuilder } from './batch-builder.js';
import { compareKeys, type FindKey, type KeyRange } from './key.js';
import type { Area } from './slab.js';

/** A sorted run, read record by record. */
export interface RunCursor {
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  /** Moves to the next record at hand; false when there is none. */
  step(): boolean;
  /** Fetches more and moves to its first record; false at the run's end. */
  turn(): Promise<boolean>;
}

export interface MergeOptions {
  readonly findKey: FindKey;
  /** Of records with the same key only the last is kept. */
  readonly dropOlder: boolean;
  /** True for a record that hides older ones and is itself left out. */
  readonly hides?: ((bytes: Buffer, start: number, end: number) => boolean) | undefined;
  /** Batches are valid until the next one is asked for; else their memory is the consumer's. */
  readonly lend: boolean;
  readonly signal: AbortSignal;
}

interface Entry {
  readonly cursor: RunCursor;
  /** Age: of equal keys the one from the run that came first goes first. */
  readonly rank: number;
  readonly key: KeyRange;
}

/**
 * Merges sorted runs, oldest first in `cursors`, into one order.
 *
 * @param staging where batches are built; best in the slab that the cursors' records lie in
 */
export async function* mergeRuns(cursors: readonly RunCursor[], staging: Area, options: MergeOptions): AsyncGenerator<RecordBatch> {
  const heap = new MergeHeap(options.findKey);
  for (const [rank, cursor] of cursors.entries()) {
    if (await cursor.turn()) heap.push({ cursor, rank, key: { start: 0, end: 0 } });
  }
  const out = new BatchBuilder(staging);
  const lastKey: KeyRange = { start: 0, end: 0 };
  for (let top = heap.top; top !== undefined; top = heap.top) {
    const { cursor, key } = top;
    if (out.count > 0) {
      const same = options.dropOlder && compareKeys(out.bytes, lastKey.start, lastKey.end, cursor.bytes, key.start, key.end) === 0;
      if (same || options.hides?.(out.bytes, out.lastStart, out.lastEnd) === true) out.dropLast();
      if (out.isFullFor(cursor.end - cursor.start)) {
        options.signal.throwIfAborted();
        yield out.take(options.lend);
      }
    }
    out.append(cursor.bytes, cursor.start, cursor.end);
    options.findKey(out.bytes, out.lastStart, out.lastEnd, lastKey);
    if (cursor.step() || (await cursor.turn())) heap.sink();
    else heap.pop();
  }
  if (out.count > 0 && options.hides?.(out.bytes, out.lastStart, out.lastEnd) === true) out.dropLast();
  options.signal.throwIfAborted();
  if (out.count > 0) yield out.take(options.lend);
}

/** A binary heap of cursors, the smallest key on top. */
class MergeHeap {
  readonly #findKey: FindKey;
  readonly #entries: Entry[] = [];

  constructor(findKey: FindKey) {
    this.#findKey = findKey;
  }

  get top(): Entry | undefined {
    return this.#entries[0];
  }

  push(entry: Entry): void {
    this.#findKey(entry.cursor.bytes, entry.cursor.start, entry.cursor.end, entry.key);
    const entries = this.#entries;
    let at = entries.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (before(entries[parent] as Entry, entry)) break;
      entries[at] = entries[parent] as Entry;
      at = parent;
    }
    entries[at] = entry;
  }

  /** Puts the top, whose cursor has moved, where it belongs. */
  sink(): void {
    const entry = this.#entries[0] as Entry;
    this.#findKey(entry.cursor.bytes, entry.cursor.start, entry.cursor.end, entry.key);
    this.#settle(entry);
  }

  /** Removes the top. */
  pop(): void {
    const last = this.#entries.pop();
    if (last !== undefined && this.#entries.length > 0) this.#settle(last);
  }

  #settle(entry: Entry): void {
    const entries = this.#entries;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= entries.length) break;
      if (child + 1 < entries.length && before(entries[child + 1] as Entry, entries[child] as Entry)) child++;
      if (before(entry, entries[child] as Entry)) break;
      entries[at] = entries[child] as Entry;
      at = child;
    }
    entries[at] = entry;
  }
}

function before(a: Entry, b: Entry): boolean {
  const order = compareKeys(a.cursor.bytes, a.key.start, a.key.end, b.cursor.bytes, b.key.start, b.key.end);
  return order < 0 || (order === 0 && a.rank < b.rank);
}
