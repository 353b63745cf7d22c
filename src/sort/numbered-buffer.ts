import { RecordSlab, withRoomFor } from './record-slab.js';

/** What a record costs beside its bytes: two offsets, its number, its place in the order and in the one before. */
const RECORD_COST = 24;
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

/** Records in memory, up to a budget, in order of their numbers. */
export class NumberedBuffer extends RecordSlab {
  readonly #room: number;
  #highs = new Uint32Array(0);
  #lows = new Uint32Array(0);

  /**
   * @param room bytes that may be read before any record, whatever is in them
   * @param budget bytes of memory to use, all told; a record that is larger is taken alone
   */
  constructor(room: number, budget: number) {
    super({ budget, recordCost: RECORD_COST, room });
    this.#room = room;
  }

  /**
   * Copies records in, from `from` on, as long as there is room.
   *
   * @returns the index of the first that was not taken; an empty buffer takes at least one
   */
  append({ bytes, starts, ends, highs, lows, count }: NumberedRecords, from: number): number {
    const before = this.count;
    const next = this.copyIn(bytes, starts, ends, from, count);
    this.#highs = withRoomFor(this.count, this.#highs);
    this.#lows = withRoomFor(this.count, this.#lows);
    this.#highs.set(highs.subarray(from, next), before);
    this.#lows.set(lows.subarray(from, next), before);
    return next;
  }

  /** The records' indices in ascending order of their numbers; equal numbers in the order they came. */
  order(): Uint32Array {
    return orderOfNumbers(this.#highs, this.#lows, this.count);
  }

  /** Writes a record's number, big-endian, and zeros up to `room`. */
  writeNumber(index: number, target: Buffer, at: number): void {
    target.writeUInt32BE(this.#highs[index] as number, at);
    target.writeUInt32BE(this.#lows[index] as number, at + 4);
    for (let i = at + 8; i < at + this.#room; i++) target[i] = 0;
  }
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
