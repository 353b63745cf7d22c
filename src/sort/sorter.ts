import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { FindKey } from './key.js';
import { MemoryReader } from './memory-reader.js';
import { type MergeOptions, mergeRuns } from './merge.js';
import { RecordBuffer } from './record-buffer.js';
import { RUN_BYTES, type Run, RunReader, RunWriter } from './run-file.js';
import { newArea, partOf } from './slab.js';
import { SpillFile } from './spill-file.js';

export const DEFAULT_SORT_BUDGET: number = 64 * 1024 * 1024;
const SMALLEST_BUDGET = 64 * 1024;
const FEWEST_RUNS = 4;

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
  readonly #buffer: RecordBuffer;
  #file: SpillFile | undefined;
  #runs: Run[] = [];
  #order: Uint32Array | undefined;

  constructor(options: SortOptions, run: RunContext) {
    this.#options = options;
    this.#run = run;
    this.#budget = Math.max(SMALLEST_BUDGET, options.budget ?? DEFAULT_SORT_BUDGET);
    this.#buffer = new RecordBuffer(options.findKey, this.#budget);
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
      next = this.#buffer.append(bytes, starts, ends, next, count);
      if (next >= count) return;
      await this.#spill();
    }
  }

  /** All has been added: from now on `batches` may be asked for. */
  async finish(): Promise<void> {
    if (this.#file === undefined) {
      this.#order = this.#buffer.order();
      return;
    }
    await this.#spill();
    this.#buffer.release();
    const fanIn = Math.max(FEWEST_RUNS, Math.floor(this.#budget / RUN_BYTES));
    while (this.#runs.length > fanIn) await this.#mergeLevel(fanIn);
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
    this.#buffer.release();
    this.#runs = [];
    await this.#file?.close();
    this.#file = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #merged(lend: boolean): AsyncGenerator<RecordBatch> {
    const { dropOlder = false } = this.#options;
    const options = { ...this.#options, dropOlder, lend, signal: this.#run.signal };
    if (this.#order === undefined) return mergeFiles(this.#runs, options);
    return mergeRuns([new MemoryReader(this.#buffer, this.#order, dropOlder)], this.#buffer.staging, options);
  }

  /** Sorts what is in memory and writes it to the file. */
  async #spill(): Promise<void> {
    this.#run.signal.throwIfAborted();
    if (this.#buffer.count === 0) return;
    this.#file ??= await this.#newFile(this.#options.expectedBytes ?? 0);
    await this.#file.checkSpace(this.#buffer.used);
    const reader = new MemoryReader(this.#buffer, this.#buffer.order(), this.#options.dropOlder ?? false);
    const writer = new RunWriter(this.#file, this.#buffer.staging);
    while (reader.step()) {
      if (!writer.put(reader.bytes, reader.start, reader.end)) await writer.putNext(reader.bytes, reader.start, reader.end);
    }
    this.#runs.push(await writer.finish());
    this.#buffer.clear();
  }

  /** Merges every `fanIn` neighbouring runs into one, in a new file. */
  async #mergeLevel(fanIn: number): Promise<void> {
    const { findKey, dropOlder = false } = this.#options;
    const file = await this.#newFile(this.#runs.reduce((sum, run) => sum + run.blocks.reduce((a, b) => a + b, 0), 0));
    const merged: Run[] = [];
    for (let i = 0; i < this.#runs.length; i += fanIn) {
      const writer = new RunWriter(file);
      const options = { findKey, dropOlder, lend: true, signal: this.#run.signal };
      for await (const batch of mergeFiles(this.#runs.slice(i, i + fanIn), options)) await writeBatch(writer, batch);
      merged.push(await writer.finish());
    }
    await this.#file?.close();
    this.#file = file;
    this.#runs = merged;
  }

  async #newFile(bytes: number): Promise<SpillFile> {
    const file = await SpillFile.create(this.#options.tmpDir);
    try {
      await file.checkSpace(bytes);
      return file;
    } catch (thrown) {
      await file.close();
      throw thrown;
    }
  }
}

/** Merges runs of a file; what they are read into and what is staged is one slab. */
function mergeFiles(runs: readonly Run[], options: MergeOptions): AsyncGenerator<RecordBatch> {
  const slab = newArea((runs.length + 1) * RUN_BYTES);
  const cursors = runs.map((run, i) => new RunReader(run, partOf(slab, i * RUN_BYTES, RUN_BYTES)));
  return mergeRuns(cursors, partOf(slab, runs.length * RUN_BYTES, RUN_BYTES), options);
}

async function writeBatch(writer: RunWriter, { bytes, starts, ends, count }: RecordBatch): Promise<void> {
  for (let i = 0; i < count; i++) {
    const start = starts[i] as number;
    const end = ends[i] as number;
    if (!writer.put(bytes, start, end)) await writer.putNext(bytes, start, end);
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
