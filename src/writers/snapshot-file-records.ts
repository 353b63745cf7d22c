import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import type { NumberedRecords } from '../sort/numbered-buffer.js';
import type { NumberedLengths } from '../sort/numbered-lengths.js';
import { NumberedSorter } from '../sort/numbered-sorter.js';
import type { EntryRun } from '../wire/bbolt-writer.js';
import { newRevisionScan, scanModRevision } from '../wire/keyvalue-scan.js';
import { encodeRevisionKey, REVISION_KEY_BYTES } from '../wire/revision-key.js';
import type { RecordLog, RecordLogOptions } from './snapshot-file-log.js';

const SEPARATOR_AT = 8;
const SUB_AT = 13;
const SEPARATOR = 0x5f;
/** Above this the revision is negative, as etcd reads it. */
const LARGEST_HIGH = 0x7fffffff;
const PLANNED_AT_ONCE = 4096;

/**
 * Keys as they are at one revision, in order of the keys: the main revision of each is its mod revision,
 * and those of one revision are numbered as they came.
 */
export class KeyspaceLog implements RecordLog {
  readonly #sorter: NumberedSorter;
  readonly #run: RunContext;
  #high = 0;
  #low = 0;
  records = 0;

  constructor({ tmpDir, sortBudget }: RecordLogOptions, run: RunContext) {
    this.#sorter = new NumberedSorter({ room: REVISION_KEY_BYTES, tmpDir, budget: sortBudget }, run);
    this.#run = run;
  }

  get lastRevision(): bigint {
    return (BigInt(this.#high) << 32n) + BigInt(this.#low);
  }

  async fill(source: Source): Promise<void> {
    const { estimatedRecords } = source.info;
    const total = estimatedRecords === undefined ? {} : { totalRecords: estimatedRecords };
    let bytes = 0;
    for await (const batch of source.records()) {
      this.#run.signal.throwIfAborted();
      await this.#sorter.add(this.#numbered(batch));
      this.records += batch.count;
      bytes += batch.bytes.length;
      this.#run.progress({ phase: 'reading', records: this.records, bytes, ...total });
    }
    await this.#sorter.finish();
  }

  async *entries(): AsyncGenerator<EntryRun> {
    const numbers = new SubNumbers();
    for await (const { bytes, starts, ends, count } of this.#sorter.lentBatches()) {
      const values = new Uint32Array(count);
      for (let i = 0; i < count; i++) {
        const start = starts[i] as number;
        values[i] = start + REVISION_KEY_BYTES;
        bytes[start + SEPARATOR_AT] = SEPARATOR;
        bytes.writeUInt32BE(numbers.next(bytes.readUInt32BE(start), bytes.readUInt32BE(start + 4)), start + SUB_AT);
      }
      yield { bytes, starts, values, ends, count };
    }
  }

  planned(): AsyncGenerator<EntryRun> {
    const lengths = this.#sorter.lengths();
    return lengths === undefined ? this.entries() : keysWithLengths(lengths);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sorter.close();
  }

  #numbered({ bytes, starts, ends, count }: RecordBatch): NumberedRecords {
    const highs = new Uint32Array(count);
    const lows = new Uint32Array(count);
    const scan = newRevisionScan();
    for (let i = 0; i < count; i++) {
      scanModRevision(bytes, starts[i] as number, ends[i] as number, scan);
      const { high, low } = scan;
      if (high > LARGEST_HIGH || (high === 0 && low === 0)) throw noRevision(high, low);
      if (high > this.#high || (high === this.#high && low > this.#low)) [this.#high, this.#low] = [high, low];
      highs[i] = high;
      lows[i] = low;
    }
    return { bytes, starts, ends, highs, lows, count };
  }
}

/** The entries' keys; of the values there are only the lengths. */
async function* keysWithLengths({ order, highs, lows, lengths }: NumberedLengths): AsyncGenerator<EntryRun> {
  const numbers = new SubNumbers();
  const blank = encodeRevisionKey({ main: 0n, sub: 0n });
  const keys = Buffer.concat(Array.from({ length: PLANNED_AT_ONCE }, () => blank));
  const starts = Uint32Array.from({ length: PLANNED_AT_ONCE }, (_, i) => i * blank.length);
  const values = starts.map((start) => start + blank.length);
  const ends = new Float64Array(PLANNED_AT_ONCE);
  for (let from = 0; from < order.length; from += PLANNED_AT_ONCE) {
    const count = Math.min(PLANNED_AT_ONCE, order.length - from);
    for (let i = 0; i < count; i++) {
      const index = order[from + i] as number;
      const start = starts[i] as number;
      const high = highs[index] as number;
      const low = lows[index] as number;
      keys.writeUInt32BE(high, start);
      keys.writeUInt32BE(low, start + 4);
      keys.writeUInt32BE(numbers.next(high, low), start + SUB_AT);
      ends[i] = (values[i] as number) + (lengths[index] as number);
    }
    yield { bytes: keys, starts, values, ends, count };
  }
}

/** Numbers the changes of each revision. */
class SubNumbers {
  #high = 0;
  #low = 0;
  #sub = -1;

  next(high: number, low: number): number {
    this.#sub = high === this.#high && low === this.#low ? this.#sub + 1 : 0;
    this.#high = high;
    this.#low = low;
    return this.#sub;
  }
}

function noRevision(high: number, low: number): FerryError {
  const revision = BigInt.asIntN(64, (BigInt(high) << 32n) + BigInt(low));
  return new FerryError('damaged', `a record says it was modified at revision ${revision}`);
}
