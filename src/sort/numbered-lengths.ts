import { type NumberedRecords, orderOfNumbers } from './numbered-buffer.js';
import { withRoomFor } from './record-slab.js';

/** Bytes that a record takes here: number and length, and its place in the order and in the one before. */
const RECORD_COST = 20;
const FIRST_CAPACITY = 4096;

/** Records by their numbers, in ascending order: index i of the order is `order[i]` of the others. */
export interface NumberedLengths {
  readonly order: Uint32Array;
  readonly highs: Uint32Array;
  readonly lows: Uint32Array;
  /** In bytes. */
  readonly lengths: Uint32Array;
}

/** Numbers and lengths of all records, as long as they fit into a budget. */
export class LengthTable {
  readonly #most: number;
  #count = 0;
  #highs = new Uint32Array(FIRST_CAPACITY);
  #lows = new Uint32Array(FIRST_CAPACITY);
  #lengths = new Uint32Array(FIRST_CAPACITY);

  /** @param budget in bytes */
  constructor(budget: number) {
    this.#most = Math.floor(budget / RECORD_COST);
  }

  add({ starts, ends, highs, lows, count }: NumberedRecords): void {
    if (this.#count > this.#most) return;
    const total = this.#count + count;
    this.#highs = withRoomFor(total, this.#highs);
    this.#lows = withRoomFor(total, this.#lows);
    this.#lengths = withRoomFor(total, this.#lengths);
    for (let i = 0; i < count; i++) {
      const at = this.#count++;
      this.#highs[at] = highs[i] as number;
      this.#lows[at] = lows[i] as number;
      this.#lengths[at] = (ends[i] as number) - (starts[i] as number);
    }
    if (this.#count > this.#most) this.#forget();
  }

  /** @returns undefined when there were too many */
  inOrder(): NumberedLengths | undefined {
    if (this.#count > this.#most) return undefined;
    const [highs, lows, lengths] = [this.#highs, this.#lows, this.#lengths];
    return { order: orderOfNumbers(highs, lows, this.#count), highs, lows, lengths };
  }

  #forget(): void {
    this.#highs = new Uint32Array(0);
    this.#lows = new Uint32Array(0);
    this.#lengths = new Uint32Array(0);
  }
}
