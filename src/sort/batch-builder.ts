import type { RecordBatch } from '../model/batch.js';
import { doubled } from '../model/doubled.js';
import { type Area, copyInto } from './slab.js';

const FIRST_CAPACITY = 1024;

/** Packs records into an area of a slab, and hands out copies of it as batches. */
export class BatchBuilder {
  readonly #area: Area;
  /** The slab; or, for one record that is larger than the area, memory of its own. */
  #bytes: Buffer;
  #used = 0;
  #limit = 0;
  #starts = new Uint32Array(FIRST_CAPACITY);
  #ends = new Uint32Array(FIRST_CAPACITY);
  #count = 0;

  constructor(area: Area) {
    this.#area = area;
    this.#bytes = area.slab;
  }

  get count(): number {
    return this.#count;
  }

  /** What the last record lies in. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  get lastStart(): number {
    return this.#starts[this.#count - 1] as number;
  }

  get lastEnd(): number {
    return this.#used;
  }

  /** True when a record of `length` bytes belongs into the next batch. */
  isFullFor(length: number): boolean {
    return this.#count > 0 && this.#used + length > this.#limit;
  }

  append(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (this.#count === 0) this.#begin(length);
    if (this.#count === this.#starts.length) this.#grow();
    copyInto(this.#bytes, this.#used, bytes, start, end);
    this.#starts[this.#count] = this.#used;
    this.#used += length;
    this.#ends[this.#count] = this.#used;
    this.#count++;
  }

  /** Takes back the record that was appended last. */
  dropLast(): void {
    this.#used = this.lastStart;
    this.#count--;
  }

  /** @param lend without a copy: the batch is valid until the next record is appended */
  take(lend: boolean): RecordBatch {
    const count = this.#count;
    this.#count = 0;
    const starts = this.#starts.slice(0, count);
    const ends = this.#ends.slice(0, count);
    if (lend || this.#bytes !== this.#area.slab) return { bytes: this.#bytes, starts, ends, count };
    const base = this.#area.at;
    for (let i = 0; i < count; i++) {
      starts[i] = (starts[i] as number) - base;
      ends[i] = (ends[i] as number) - base;
    }
    const bytes = Buffer.allocUnsafeSlow(this.#used - base);
    this.#bytes.copy(bytes, 0, base, this.#used);
    return { bytes, starts, ends, count };
  }

  #begin(length: number): void {
    const { slab, at, size } = this.#area;
    const fits = length <= size;
    this.#bytes = fits ? slab : Buffer.allocUnsafeSlow(length);
    this.#used = fits ? at : 0;
    this.#limit = fits ? at + size : length;
  }

  #grow(): void {
    this.#starts = doubled(this.#starts);
    this.#ends = doubled(this.#ends);
  }
}
