import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import { RecordSorter } from '../sort/sorter.js';
import type { EntryRun } from '../wire/bbolt-writer.js';
import { newScan, scanKeyValue } from '../wire/keyvalue-scan.js';
import { checkRevisionKey, encodeRevisionKey, REVISION_KEY_BYTES, TOMBSTONE_KEY_BYTES } from '../wire/revision-key.js';

const MAIN_BYTES = 8;
const SUB_AT = 13;
const TOMBSTONE_MARK = 0x74;
const LARGEST_REVISION = 2n ** 63n - 1n;

/**
 * What becomes etcd's `key` bucket: each record is a revision key and its `mvccpb.KeyValue`, in
 * order of the revision keys. Records that come in order of the user's keys have none: the main
 * revision is their mod revision, and those of one revision are numbered as they came.
 */
export class RecordLog implements AsyncDisposable {
  readonly #sorter: RecordSorter;
  readonly #keyed: boolean;
  readonly #run: RunContext;
  #scratch = Buffer.alloc(0);
  #last = 0n;
  #records = 0;

  /** @param keyed the records come with their revision keys */
  constructor(keyed: boolean, options: { readonly tmpDir: string; readonly sortBudget?: number }, run: RunContext) {
    const length = keyed ? REVISION_KEY_BYTES : MAIN_BYTES;
    const findKey = (_: Buffer, start: number, _end: number, range: { start: number; end: number }): void => {
      range.start = start;
      range.end = start + length;
    };
    this.#sorter = new RecordSorter({ findKey, tmpDir: options.tmpDir, budget: options.sortBudget, dropOlder: keyed }, run);
    this.#keyed = keyed;
    this.#run = run;
  }

  /** The latest main revision met. */
  get lastRevision(): bigint {
    return this.#last;
  }

  /** Records written. */
  get records(): number {
    return this.#records;
  }

  /** @throws FerryError `damaged` for a record that does not parse or has no revision */
  async fill(source: Source): Promise<void> {
    let bytes = 0;
    for await (const batch of source.records()) {
      this.#run.signal.throwIfAborted();
      await this.#sorter.add(this.#keyed ? this.#checked(batch) : this.#withKeys(batch));
      this.#records += batch.count;
      bytes += batch.bytes.length;
      this.#run.progress({ phase: 'reading', records: this.#records, bytes });
    }
    await this.#sorter.finish();
  }

  /** The same each time it is asked for. */
  async *entries(): AsyncGenerator<EntryRun> {
    const numbers = this.#keyed ? undefined : new SubNumbers();
    for await (const { bytes, starts, ends, count } of this.#sorter.lentBatches()) {
      const values = new Uint32Array(count);
      for (let i = 0; i < count; i++) {
        const start = starts[i] as number;
        values[i] = start + (this.#keyed ? revisionKeyLength(bytes, start, ends[i] as number) : REVISION_KEY_BYTES);
        numbers?.put(bytes, start);
      }
      yield { bytes, starts, values, ends, count };
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sorter.close();
  }

  /** The batch with a revision key, sub 0, before each record; valid until the next one is asked for. */
  #withKeys(batch: RecordBatch): RecordBatch {
    const { bytes, count } = batch;
    const size = bytes.length;
    const need = 2 * size + count * REVISION_KEY_BYTES;
    if (this.#scratch.length < need) this.#scratch = Buffer.allocUnsafeSlow(need);
    const scratch = this.#scratch;
    // Within one piece of memory copies are cheaper.
    bytes.copy(scratch);
    const starts = new Uint32Array(count);
    const ends = new Uint32Array(count);
    const scan = newScan();
    let at = size;
    for (let i = 0; i < count; i++) {
      const from = batch.starts[i] as number;
      const to = batch.ends[i] as number;
      scanKeyValue(bytes, from, to, scan);
      this.#meet(scan.modRevision);
      starts[i] = at;
      at = writeMain(scratch, at, scan.modRevision);
      scratch.copyWithin(at, from, to);
      at += to - from;
      ends[i] = at;
    }
    return { bytes: scratch, starts, ends, count };
  }

  #checked(batch: RecordBatch): RecordBatch {
    const scan = newScan();
    for (let i = 0; i < batch.count; i++) {
      const start = batch.starts[i] as number;
      const end = batch.ends[i] as number;
      const value = start + revisionKeyLength(batch.bytes, start, end);
      checkRevisionKey(batch.bytes, start, value);
      scanKeyValue(batch.bytes, value, end, scan);
      this.#meet(batch.bytes.readBigUInt64BE(start));
    }
    return batch;
  }

  #meet(revision: bigint): void {
    if (revision < 1n || revision > LARGEST_REVISION)
      throw new FerryError('damaged', `a record says it was modified at revision ${revision}`);
    if (revision > this.#last) this.#last = revision;
  }
}

/** Numbers the changes of each revision, in the records' own memory. */
class SubNumbers {
  #high = 0;
  #low = 0;
  #sub = -1;

  put(bytes: Buffer, start: number): void {
    const high = bytes.readUInt32BE(start);
    const low = bytes.readUInt32BE(start + 4);
    this.#sub = high === this.#high && low === this.#low ? this.#sub + 1 : 0;
    this.#high = high;
    this.#low = low;
    bytes.writeUInt32BE(this.#sub, start + SUB_AT);
  }
}

const BLANK_KEY = encodeRevisionKey({ main: 0n, sub: 0n });

/** Writes a revision key with sub 0. @returns the offset just past it */
function writeMain(target: Buffer, at: number, main: bigint): number {
  BLANK_KEY.copy(target, at);
  target.writeBigUInt64BE(main, at);
  return at + REVISION_KEY_BYTES;
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
