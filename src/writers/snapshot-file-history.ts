import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import { RecordSorter } from '../sort/sorter.js';
import type { EntryRun } from '../wire/bbolt-writer.js';
import { newScan, scanKeyValue } from '../wire/keyvalue-scan.js';
import { checkRevisionKey, REVISION_KEY_BYTES, TOMBSTONE_KEY_BYTES } from '../wire/revision-key.js';
import { LARGEST_REVISION, type RecordLog, type RecordLogOptions } from './snapshot-file-log.js';

const TOMBSTONE_MARK = 0x74;

/** A history: its records come with their revision keys, and keep them. */
export class HistoryLog implements RecordLog {
  readonly #sorter: RecordSorter;
  readonly #run: RunContext;
  lastRevision = 0n;
  records = 0;

  constructor({ tmpDir, sortBudget }: RecordLogOptions, run: RunContext) {
    const findKey = (_: Buffer, start: number, _end: number, range: { start: number; end: number }): void => {
      range.start = start;
      range.end = start + REVISION_KEY_BYTES;
    };
    this.#sorter = new RecordSorter({ findKey, tmpDir, budget: sortBudget, dropOlder: true }, run);
    this.#run = run;
  }

  async fill(source: Source): Promise<void> {
    let bytes = 0;
    for await (const batch of source.records()) {
      this.#run.signal.throwIfAborted();
      this.#check(batch);
      await this.#sorter.add(batch);
      this.records += batch.count;
      bytes += batch.bytes.length;
      this.#run.progress({ phase: 'reading', records: this.records, bytes });
    }
    await this.#sorter.finish();
  }

  async *entries(): AsyncGenerator<EntryRun> {
    for await (const { bytes, starts, ends, count } of this.#sorter.lentBatches()) {
      const values = new Uint32Array(count);
      for (let i = 0; i < count; i++) {
        const start = starts[i] as number;
        values[i] = start + revisionKeyLength(bytes, start, ends[i] as number);
      }
      yield { bytes, starts, values, ends, count };
    }
  }

  planned(): AsyncGenerator<EntryRun> {
    return this.entries();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sorter.close();
  }

  #check(batch: RecordBatch): void {
    const scan = newScan();
    for (let i = 0; i < batch.count; i++) {
      const start = batch.starts[i] as number;
      const end = batch.ends[i] as number;
      const value = start + revisionKeyLength(batch.bytes, start, end);
      checkRevisionKey(batch.bytes, start, value);
      scanKeyValue(batch.bytes, value, end, scan);
      this.#meet(batch.bytes.readBigUInt64BE(start));
    }
  }

  #meet(revision: bigint): void {
    if (revision < 1n || revision > LARGEST_REVISION)
      throw new FerryError('damaged', `a record says it was modified at revision ${revision}`);
    if (revision > this.lastRevision) this.lastRevision = revision;
  }
}

/**
 * A tombstone's key has a `t` more, which no `mvccpb.KeyValue` begins with: that is no field of it.
 *
 * @throws FerryError `damaged` when the record is shorter than a revision key
 */
function revisionKeyLength(bytes: Buffer, start: number, end: number): number {
  if (end - start < REVISION_KEY_BYTES) throw new FerryError('damaged', `a record of ${end - start} bytes has no revision key`);
  return end - start > REVISION_KEY_BYTES && bytes[start + REVISION_KEY_BYTES] === TOMBSTONE_MARK
    ? TOMBSTONE_KEY_BYTES
    : REVISION_KEY_BYTES;
}
