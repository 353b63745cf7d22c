import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { FindKey } from './key.js';
import { type MergeOptions, mergeRuns } from './merge.js';
import { RUN_BYTES, type Run, RunReader, RunWriter } from './run-file.js';
import { type Area, newArea, partOf } from './slab.js';
import { SpillFile } from './spill-file.js';

const FEWEST_RUNS = 4;

export interface SpillOptions {
  readonly findKey: FindKey;
  /** An existing directory. */
  readonly tmpDir: string;
  /** Of records with the same key only the one that came last is kept. */
  readonly dropOlder: boolean;
  /** At most so many bytes are expected; space for them is checked before the first is spilled. */
  readonly expectedBytes: number;
}

/** Sorted runs in a file, and what they come to when merged. To be closed in any case. */
export class SpilledRuns {
  readonly #options: SpillOptions;
  readonly #run: RunContext;
  #file: SpillFile | undefined;
  #runs: Run[] = [];

  constructor(options: SpillOptions, run: RunContext) {
    this.#options = options;
    this.#run = run;
  }

  /**
   * Writes one run. The runs' order is that of equal keys; one is to be written after the other.
   *
   * @param bytes of the run, for which there must be space
   * @param staging RUN_BYTES to build blocks in; best in the slab the records lie in
   * @param fill puts the records, in their order
   * @throws FerryError `no-space`, `not-writable`, `not-found`; the signal's reason
   */
  async add(bytes: number, staging: Area, fill: (writer: RunWriter) => Promise<void>): Promise<void> {
    this.#run.signal.throwIfAborted();
    this.#file ??= await this.#newFile(this.#options.expectedBytes);
    await this.#file.checkSpace(bytes);
    const writer = new RunWriter(this.#file, staging);
    await fill(writer);
    this.#runs.push(await writer.finish());
  }

  /** Merges runs until there are so few that all can be read at once in `budget` bytes. */
  async settle(budget: number): Promise<void> {
    const fanIn = Math.max(FEWEST_RUNS, Math.floor(budget / RUN_BYTES));
    while (this.#runs.length > fanIn) await this.#mergeLevel(fanIn);
  }

  /** All records in order, from the first one whenever it is asked for. */
  merged(options: Pick<MergeOptions, 'lend' | 'hides'>): AsyncGenerator<RecordBatch> {
    const { findKey, dropOlder } = this.#options;
    return mergeFiles(this.#runs, { ...options, findKey, dropOlder, signal: this.#run.signal });
  }

  /** Frees the disk. */
  async close(): Promise<void> {
    this.#runs = [];
    await this.#file?.close();
    this.#file = undefined;
  }

  /** Merges every `fanIn` neighbouring runs into one, in a new file. */
  async #mergeLevel(fanIn: number): Promise<void> {
    const { findKey, dropOlder } = this.#options;
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
