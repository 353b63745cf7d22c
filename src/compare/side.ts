import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { compareKeys } from '../sort/key.js';
import { findKeyValueKey } from '../wire/keyvalue-scan.js';

const NOTHING: Buffer = Buffer.alloc(0);

/** The order of two keys, given as stretches of bytes: negative, zero or positive. */
export type CompareKeys = typeof compareKeys;

/** One side of a comparison, read record by record and held to its order. */
export class Side {
  /** The batch the current record is in; record and key are stretches of it. */
  bytes: Buffer = NOTHING;
  start = 0;
  end = 0;
  readonly key = { start: 0, end: 0 };
  ended = false;
  readonly #name: string;
  readonly #compare: CompareKeys;
  readonly #batches: AsyncIterator<RecordBatch>;
  #batch: RecordBatch | undefined;
  #index = 0;
  /** The key before the current one. */
  #last: Buffer = NOTHING;
  #lastStart = 0;
  #lastEnd = 0;
  #isFirst = true;

  constructor(name: string, records: AsyncIterable<RecordBatch>, compare: CompareKeys) {
    this.#name = name;
    this.#compare = compare;
    this.#batches = records[Symbol.asyncIterator]();
  }

  /** Moves to the next record of the batch at hand; false when there is none, and `turn` has to be asked. */
  step(): boolean {
    const batch = this.#batch;
    if (batch === undefined || this.#index >= batch.count) return false;
    this.#look(batch, this.#index++);
    return true;
  }

  /** Fetches more and moves to its first record; `ended` is set when there is none. */
  async turn(): Promise<void> {
    for (;;) {
      const { value, done } = await this.#batches.next();
      if (done === true) {
        this.ended = true;
        this.#batch = undefined;
        return;
      }
      this.#batch = value;
      this.#index = 0;
      if (this.step()) return;
    }
  }

  /** A copy-free view of the current record. */
  record(): Buffer {
    return this.bytes.subarray(this.start, this.end);
  }

  /** Lets the source go, whether it has been read to its end or not. */
  async close(): Promise<void> {
    await this.#batches.return?.();
  }

  #look(batch: RecordBatch, index: number): void {
    const { key } = this;
    this.#last = this.bytes;
    this.#lastStart = key.start;
    this.#lastEnd = key.end;
    this.bytes = batch.bytes;
    this.start = batch.starts[index] as number;
    this.end = batch.ends[index] as number;
    findKeyValueKey(this.bytes, this.start, this.end, key);
    if (!this.#isFirst && this.#compare(this.#last, this.#lastStart, this.#lastEnd, this.bytes, key.start, key.end) >= 0) {
      throw new FerryError('damaged', `${this.#name}: a key does not come after the one before it`);
    }
    this.#isFirst = false;
  }
}
