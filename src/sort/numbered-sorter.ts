import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import { BatchBuilder } from './batch-builder.js';
import { BufferPair } from './buffer-pair.js';
import type { KeyRange } from './key.js';
import { NumberedBuffer, type NumberedRecords } from './numbered-buffer.js';
import { LengthTable, type NumberedLengths } from './numbered-lengths.js';
import { DEFAULT_SORT_BUDGET, SMALLEST_BUDGET } from './sorter.js';
import { SpilledRuns } from './spilled-runs.js';

const NUMBER_BYTES = 8;

export interface NumberedSortOptions {
  /** Bytes that each record is to have before it, at least 8: its number, big-endian, then zeros. */
  readonly room: number;
  /** Bytes of memory for records; 64 MiB unless given. What is more is spilled. */
  readonly budget?: number | undefined;
  /** An existing directory for spilled runs. */
  readonly tmpDir: string;
}

/**
 * An external merge sort of records by a number each that need not stand in them. Those of one number
 * stay in the order they came. To be closed in any case.
 */
export class NumberedSorter implements AsyncDisposable {
  readonly #options: NumberedSortOptions;
  readonly #run: RunContext;
  readonly #budget: number;
  readonly #buffers: BufferPair<NumberedBuffer>;
  readonly #spilled: SpilledRuns;
  readonly #lengths: LengthTable;
  #order: Uint32Array | undefined;

  constructor(options: NumberedSortOptions, run: RunContext) {
    const { room, tmpDir } = options;
    this.#options = options;
    this.#run = run;
    this.#budget = Math.max(SMALLEST_BUDGET, options.budget ?? DEFAULT_SORT_BUDGET);
    this.#lengths = new LengthTable(this.#budget);
    this.#buffers = new BufferPair(
      () => new NumberedBuffer(room, this.#budget / 2),
      (full) => this.#spill(full),
    );
    this.#spilled = new SpilledRuns({ findKey: findNumber, tmpDir, dropOlder: false, expectedBytes: 0 }, run);
  }

  /**
   * Copies records in.
   *
   * @throws FerryError `no-space`, `not-writable`, `not-found`; the signal's reason
   */
  async add(records: NumberedRecords): Promise<void> {
    this.#lengths.add(records);
    let next = 0;
    for (;;) {
      next = this.#buffers.current.append(records, next);
      if (next >= records.count) return;
      this.#run.signal.throwIfAborted();
      await this.#buffers.turn();
    }
  }

  /** All has been added: from now on `lentBatches` and `lengths` may be asked for. */
  async finish(): Promise<void> {
    if (!this.#buffers.hasTurned) {
      this.#order = this.#buffers.current.order();
      return;
    }
    await this.#buffers.flush();
    await this.#spilled.settle(this.#budget);
  }

  /**
   * All records in order, each behind its number and what `room` asks for, from the first one whenever
   * it is asked for. A batch is valid until the next one is asked for, and may be written to.
   */
  lentBatches(): AsyncGenerator<RecordBatch> {
    return this.#order === undefined ? this.#spilled.merged({ lend: true, hides: undefined }) : this.#fromMemory(this.#order);
  }

  /** Numbers and lengths in order, `room` not counted; undefined where there are too many to hold. */
  lengths(): NumberedLengths | undefined {
    return this.#lengths.inOrder();
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

  async *#fromMemory(order: Uint32Array): AsyncGenerator<RecordBatch> {
    const { room } = this.#options;
    const buffer = this.#buffers.current;
    const out = new BatchBuilder(buffer.staging);
    for (const index of order) {
      const start = buffer.startOf(index) - room;
      const end = buffer.endOf(index);
      if (out.isFullFor(end - start)) {
        this.#run.signal.throwIfAborted();
        yield out.take(true);
      }
      out.append(buffer.slab, start, end);
      buffer.writeNumber(index, out.bytes, out.lastStart);
    }
    if (out.count > 0) yield out.take(true);
  }

  #spill(buffer: NumberedBuffer): Promise<void> {
    const { room } = this.#options;
    return this.#spilled.add(buffer.used + room * buffer.count, buffer.staging, async (writer) => {
      for (const index of buffer.order()) {
        // What lies before the record is copied along, and written over.
        const start = buffer.startOf(index) - room;
        const end = buffer.endOf(index);
        if (writer.put(buffer.slab, start, end)) buffer.writeNumber(index, writer.bytes, writer.lastStart);
        else await writer.putNext(buffer.slab, start, end, (target, at) => buffer.writeNumber(index, target, at));
      }
    });
  }
}

function findNumber(_: Buffer, start: number, _end: number, range: KeyRange): void {
  range.start = start;
  range.end = start + NUMBER_BYTES;
}
