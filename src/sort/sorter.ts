import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import { BufferPair } from './buffer-pair.js';
import type { FindKey } from './key.js';
import { MemoryReader } from './memory-reader.js';
import { mergeRuns } from './merge.js';
import { RecordBuffer } from './record-buffer.js';
import { SpilledRuns } from './spilled-runs.js';

export const DEFAULT_SORT_BUDGET: number = 64 * 1024 * 1024;
export const SMALLEST_BUDGET: number = 64 * 1024;

export interface SortOptions {
  readonly findKey: FindKey;
  /** Bytes of memory for records; 64 MiB unless given. What is more is spilled. */
  readonly budget?: number | undefined;
  /** An existing directory for spilled runs. */
  readonly tmpDir: string;
  /** Of records with the same key only the one that came last is kept; else all are, in the order they came. */
  readonly dropOlder?: boolean;
  /** True for a record that hides older ones of its key and is itself left out at the end: a deletion. */
  readonly hides?: (bytes: Buffer, start: number, end: number) => boolean;
  /** At most so many bytes are expected; space for them is checked before the first is spilled. */
  readonly expectedBytes?: number;
}

/**
 * An external merge sort: records go in, in any order, and come out in the order of their keys.
 * Memory is bounded by the budget; to be closed in any case.
 */
export class RecordSorter implements AsyncDisposable {
  readonly #options: SortOptions;
  readonly #run: RunContext;
  readonly #budget: number;
  readonly #buffers: BufferPair<RecordBuffer>;
  readonly #spilled: SpilledRuns;
  #order: Uint32Array | undefined;

  constructor(options: SortOptions, run: RunContext) {
    this.#options = options;
    this.#run = run;
    this.#budget = Math.max(SMALLEST_BUDGET, options.budget ?? DEFAULT_SORT_BUDGET);
    const { findKey, tmpDir, dropOlder = false, expectedBytes = 0 } = options;
    this.#buffers = new BufferPair(
      () => new RecordBuffer(findKey, this.#budget / 2),
      (full) => this.#spill(full),
    );
    this.#spilled = new SpilledRuns({ findKey, tmpDir, dropOlder, expectedBytes }, run);
  }

  /** Copies all records of a batch in. */
  add(batch: RecordBatch): Promise<void> {
    return this.addSlices(batch.bytes, batch.starts, batch.ends, batch.count);
  }

  /**
   * Copies records in: `count` of them, record i at `bytes[starts[i], ends[i])`.
   *
   * @throws FerryError `no-space`, `not-writable`, `not-found`; the signal's reason
   */
  async addSlices(bytes: Buffer, starts: Uint32Array, ends: Uint32Array, count: number): Promise<void> {
    let next = 0;
    for (;;) {
      next = this.#buffers.current.append(bytes, starts, ends, next, count);
      if (next >= count) return;
      this.#run.signal.throwIfAborted();
      await this.#buffers.turn();
    }
  }

  /** All has been added: from now on `batches` may be asked for. */
  async finish(): Promise<void> {
    if (!this.#buffers.hasTurned) {
      this.#order = this.#buffers.current.order();
      return;
    }
    await this.#buffers.flush();
    await this.#spilled.settle(this.#budget);
  }

  /** All records in order, from the first one whenever it is asked for. A batch's memory is the consumer's. */
  batches(): AsyncGenerator<RecordBatch> {
    return this.#merged(false);
  }

  /** As `batches`, for less: a batch is valid until the next one is asked for. */
  lentBatches(): AsyncGenerator<RecordBatch> {
    return this.#merged(true);
  }

  /** Frees memory and disk. */
  async close(): Promise<void> {
    await this.#buffers.settle();
    this.#buffers.release();
    await this.#spilled.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #merged(lend: boolean): AsyncGenerator<RecordBatch> {
    const { dropOlder = false, hides, findKey } = this.#options;
    if (this.#order === undefined) return this.#spilled.merged({ lend, hides });
    const buffer = this.#buffers.current;
    const options = { findKey, dropOlder, hides, lend, signal: this.#run.signal };
    return mergeRuns([new MemoryReader(buffer, this.#order, dropOlder)], buffer.staging, options);
  }

  /** Sorts what is in memory and writes it to the file. */
  #spill(buffer: RecordBuffer): Promise<void> {
    return this.#spilled.add(buffer.used, buffer.staging, async (writer) => {
      const reader = new MemoryReader(buffer, buffer.order(), this.#options.dropOlder ?? false);
      while (reader.step()) {
        if (!writer.put(reader.bytes, reader.start, reader.end)) await writer.putNext(reader.bytes, reader.start, reader.end);
      }
    });
  }
}

/**
 * Sorts records by an external merge sort. Nothing comes out before all has gone in.
 *
 * @throws FerryError `no-space`, `not-writable`, `not-found` about the temporary directory; the signal's reason
 */
export async function* sortRecords(
  batches: AsyncIterable<RecordBatch>,
  options: SortOptions,
  run: RunContext,
): AsyncGenerator<RecordBatch> {
  await using sorter = new RecordSorter(options, run);
  for await (const batch of batches) await sorter.add(batch);
  await sorter.finish();
  yield* sorter.batches();
}
