import { RUN_BYTES } from './run-file.js';
import type { Area } from './slab.js';

/** What a record costs beside its bytes: two offsets, its number, its place in the order and in the one before. */
const RECORD_COST = 24;
const FIRST_CAPACITY = 1024;
/** Records that lie this close to each other are copied with what is between them. */
const GAP_BYTES = 64;
const DIGITS = 1 << 16;

/** Records to be added: record i is `bytes[starts[i], ends[i])`, and its number `highs[i] * 2^32 + lows[i]`. */
export interface NumberedRecords {
  readonly bytes: Buffer;
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  readonly highs: Uint32Array;
  readonly lows: Uint32Array;
  readonly count: number;
}

/** Records in memory, up to a budget, in order of their numbers. Behind them is an area to stage copies in. */
export class NumberedBuffer {
  readonly #budget: number;
  readonly #room: number;
  #slab: Buffer;
  /** Bytes of the slab that are for records. */
  #capacity: number;
  #used: number;
  #count = 0;
  #starts = new Uint32Array(FIRST_CAPACITY);
  #ends = new Uint32Array(FIRST_CAPACITY);
  #highs = new Uint32Array(FIRST_CAPACITY);
  #lows = new Uint32Array(FIRST_CAPACITY);

  /**
   * @param room bytes that may be read before any record, whatever is in them
   * @param budget bytes of memory to use, all told; a record that is larger is taken alone
   */
  constructor(room: number, budget: number) {
    this.#room = room;
    this.#budget = budget;
    this.#capacity = budget;
    this.#used = room;
    // Memory that is not touched costs nothing.
    this.#slab = Buffer.allocUnsafeSlow(budget + RUN_BYTES);
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes held. */
  get used(): number {
    return this.#used;
  }

  /** What all records lie in. */
  get slab(): Buffer {
    return this.#slab;
  }

  /** RUN_BYTES of the slab that hold no records. */
  get staging(): Area {
    return { slab: this.#slab, at: this.#capacity, size: RUN_BYTES };
  }

  /**
   * Copies records in, from `from` on, as long as there is room.
   *
   * @returns the index of the first that was not taken; an empty buffer takes at least one
   */
  append(records: NumberedRecords, from: number): number {
    const { bytes, starts, ends, count } = records;
    let next = from;
    while (next < count) {
      const start = starts[next] as number;
      let to = next;
      let end = start;
      // Neighbours go in one copy.
      for (; to < count; to++) {
        const apart = (starts[to] as number) - end;
        if (apart < 0 || apart > GAP_BYTES || !this.#hasRoom((ends[to] as number) - start, to - next + 1)) break;
        end = ends[to] as number;
      }
      if (to === next) {
        if (this.#count > 0) return next;
        this.#makeLarger((ends[next] as number) - start);
        continue;
      }
      bytes.copy(this.#slab, this.#used, start, end);
      this.#note(records, next, to, this.#used - start);
      this.#used += end - start;
      next = to;
    }
    return next;
  }

  /** Forgets all records; the memory stays. */
  clear(): void {
    this.#used = this.#room;
    this.#count = 0;
    if (this.#capacity === this.#budget) return;
    this.#capacity = this.#budget;
    this.#slab = Buffer.allocUnsafeSlow(this.#budget + RUN_BYTES);
  }

  /** Gives the memory back; nothing can be appended any more. */
  release(): void {
    this.#used = this.#room;
    this.#count = 0;
    this.#capacity = 0;
    this.#slab = Buffer.alloc(0);
  }

  /** The records' indices in ascending order of their numbers; equal numbers in the order they came. */
  order(): Uint32Array {
    return orderOfNumbers(this.#highs, this.#lows, this.#count);
  }

  startOf(index: number): number {
    return this.#starts[index] as number;
  }

  endOf(index: number): number {
    return this.#ends[index] as number;
  }

  /** Writes a record's number, big-endian, and zeros up to `room`. */
  writeNumber(index: number, target: Buffer, at: number): void {
    target.writeUInt32BE(this.#highs[index] as number, at);
    target.writeUInt32BE(this.#lows[index] as number, at + 4);
    for (let i = at + 8; i < at + this.#room; i++) target[i] = 0;
  }

  #hasRoom(bytes: number, records: number): boolean {
    return this.#used + bytes + (this.#count + records) * RECORD_COST <= this.#capacity;
  }

  #makeLarger(length: number): void {
    this.#capacity = this.#room + length + RECORD_COST;
    this.#slab = Buffer.allocUnsafeSlow(this.#capacity + RUN_BYTES);
  }

  #note({ starts, ends, highs, lows }: NumberedRecords, from: number, to: number, shift: number): void {
    while (this.#count + to - from > this.#starts.length) this.#grow();
    for (let i = from; i < to; i++) {
      this.#starts[this.#count] = (starts[i] as number) + shift;
      this.#ends[this.#count] = (ends[i] as number) + shift;
      this.#highs[this.#count] = highs[i] as number;
      this.#lows[this.#count] = lows[i] as number;
      this.#count++;
    }
  }

  #grow(): void {
    this.#starts = doubled(this.#starts);
    this.#ends = doubled(this.#ends);
    this.#highs = doubled(this.#highs);
    this.#lows = doubled(this.#lows);
  }
}

/** A copy of the array, with room for as much again. */
export function doubled(array: Uint32Array): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * array.length);
  larger.set(array);
  return larger;
}

/**
 * The indices 0 to `count` in ascending order of their numbers; equal numbers stay in the order they
 * came. A radix sort of 16 bits at once, from the lowest; digits that all numbers share are passed over.
 */
export function orderOfNumbers(highs: Uint32Array, lows: Uint32Array, count: number): Uint32Array {
  let order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[i] = i;
  let other = new Uint32Array(count);
  const counts = new Uint32Array(DIGITS);
  for (const words of [lows, highs]) {
    for (const shift of [0, 16]) {
      if (!places(words, shift, counts, count)) continue;
      for (let i = 0; i < count; i++) {
        const index = order[i] as number;
        const digit = ((words[index] as number) >>> shift) & 0xffff;
        const place = counts[digit] as number;
        counts[digit] = place + 1;
        other[place] = index;
      }
      [order, other] = [other, order];
    }
  }
  return order;
}

/** Where numbers with each digit begin. @returns false when all have the same digit */
function places(words: Uint32Array, shift: number, counts: Uint32Array, count: number): boolean {
  counts.fill(0);
  for (let i = 0; i < count; i++) {
    const digit = ((words[i] as number) >>> shift) & 0xffff;
    counts[digit] = (counts[digit] as number) + 1;
  }
  if (count === 0 || counts[((words[0] as number) >>> shift) & 0xffff] === count) return false;
  let sum = 0;
  for (let digit = 0; digit < DIGITS; digit++) {
    const here = counts[digit] as number;
    counts[digit] = sum;
    sum += here;
  }
  return true;
}
