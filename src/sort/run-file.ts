import { type Area, copyInto, newArea } from './slab.js';
import type { SpillFile } from './spill-file.js';

/** Bytes of a block of a run; one that holds a larger record is as large as that. */
const BLOCK_BYTES = 128 * 1024;
/** Bytes of memory that reading or writing a run takes: one block at work, one at hand. */
export const RUN_BYTES: number = 2 * BLOCK_BYTES;
const LENGTH_BYTES = 4;

/** A sorted run in a spill file: blocks of records, each a length (u32) and its bytes. */
export interface Run {
  readonly file: SpillFile;
  /** Offset of the first block; the others follow it. */
  readonly at: number;
  /** Length of each block in bytes. */
  readonly blocks: readonly number[];
}

/** Writes one run: a block is written while the next is filled. */
export class RunWriter {
  readonly #file: SpillFile;
  readonly #slab: Buffer;
  readonly #start: number;
  readonly #blocks: number[] = [];
  #block: number;
  #otherBlock: number;
  #used = 0;
  #lastStart = 0;
  #writing: Promise<unknown> = Promise.resolve();

  /** @param area RUN_BYTES to build blocks in */
  constructor(file: SpillFile, area: Area = newArea(RUN_BYTES)) {
    this.#file = file;
    this.#slab = area.slab;
    this.#block = area.at;
    this.#otherBlock = area.at + BLOCK_BYTES;
    this.#start = file.size;
  }

  /** What the record put last lies in. */
  get bytes(): Buffer {
    return this.#slab;
  }

  /** Where the record put last begins. */
  get lastStart(): number {
    return this.#lastStart;
  }

  /** Copies a record into the block; false, and nothing done, when there is no room for it. */
  put(bytes: Buffer, start: number, end: number): boolean {
    const need = LENGTH_BYTES + end - start;
    if (this.#used + need > BLOCK_BYTES) return false;
    const at = this.#block + this.#used;
    this.#slab.writeUInt32LE(end - start, at);
    this.#lastStart = at + LENGTH_BYTES;
    copyInto(this.#slab, this.#lastStart, bytes, start, end);
    this.#used += need;
    return true;
  }

  /**
   * Makes room and copies a record that `put` did not take.
   *
   * @param change may change the copy, before it is written
   */
  async putNext(bytes: Buffer, start: number, end: number, change?: (copy: Buffer, at: number) => void): Promise<void> {
    await this.#flush();
    if (this.put(bytes, start, end)) {
      change?.(this.#slab, this.#lastStart);
      return;
    }
    const block = Buffer.allocUnsafeSlow(LENGTH_BYTES + end - start);
    block.writeUInt32LE(end - start, 0);
    bytes.copy(block, LENGTH_BYTES, start, end);
    change?.(block, LENGTH_BYTES);
    await this.#write(block);
  }

  async finish(): Promise<Run> {
    await this.#flush();
    await this.#writing;
    return { file: this.#file, at: this.#start, blocks: this.#blocks };
  }

  async #flush(): Promise<void> {
    if (this.#used === 0) return;
    const block = this.#slab.subarray(this.#block, this.#block + this.#used);
    await this.#write(block);
    this.#used = 0;
    [this.#block, this.#otherBlock] = [this.#otherBlock, this.#block];
  }

  /** Resolves when the write before this one is done. */
  async #write(block: Buffer): Promise<void> {
    await this.#writing;
    this.#blocks.push(block.length);
    this.#writing = this.#file.append(block);
    // Seen when it is waited for; nothing may go unhandled before that.
    this.#writing.catch(() => {});
  }
}

/** Reads one run, record by record: the next block is read while one is used. */
export class RunReader {
  readonly #run: Run;
  readonly #area: Area;
  #next = 0;
  #nextAt: number;
  #limit = 0;
  #ahead: Promise<Buffer> | undefined;
  /** What the current record lies in. */
  bytes: Buffer;
  start = 0;
  end = 0;

  /** @param area RUN_BYTES to read blocks into */
  constructor(run: Run, area: Area) {
    this.#run = run;
    this.#area = area;
    this.#nextAt = run.at;
    this.bytes = area.slab;
  }

  /** Moves to the next record in the block; false at its end. */
  step(): boolean {
    if (this.end >= this.#limit) return false;
    this.start = this.end + LENGTH_BYTES;
    this.end = this.start + this.bytes.readUInt32LE(this.end);
    return true;
  }

  /** Moves to the first record of the next block; false at the run's end. */
  async turn(): Promise<boolean> {
    const block = await (this.#ahead ?? this.#read());
    if (block === undefined) return false;
    const inSlab = block.buffer === this.#area.slab.buffer;
    this.bytes = inSlab ? this.#area.slab : block;
    this.end = inSlab ? block.byteOffset - this.#area.slab.byteOffset : 0;
    this.#limit = this.end + block.length;
    this.#ahead = this.#read();
    this.#ahead?.catch(() => {});
    return this.step();
  }

  #read(): Promise<Buffer> | undefined {
    const length = this.#run.blocks[this.#next];
    if (length === undefined) return undefined;
    const at = this.#area.at + (this.#next % 2) * BLOCK_BYTES;
    const block = length <= BLOCK_BYTES ? this.#area.slab.subarray(at, at + length) : Buffer.allocUnsafeSlow(length);
    const offset = this.#nextAt;
    this.#next++;
    this.#nextAt += length;
    return this.#run.file.read(block, offset).then(() => block);
  }
}
