import type { FindKey, KeyRange } from './key.js';
import { orderOf } from './order.js';
import { RecordSlab, withRoomFor } from './record-slab.js';

/** What a record costs beside its bytes: four offsets, its place in the order, a chunk of its key. */
const RECORD_COST = 28;

/** Records in memory, up to a budget, and their order. */
export class RecordBuffer extends RecordSlab {
  readonly #findKey: FindKey;
  readonly #range: KeyRange = { start: 0, end: 0 };
  #keyStarts = new Uint32Array(0);
  #keyEnds = new Uint32Array(0);

  /** @param budget bytes of memory to use, all told; a record that is larger is taken alone */
  constructor(findKey: FindKey, budget: number) {
    super({ budget, recordCost: RECORD_COST, room: 0 });
    this.#findKey = findKey;
  }

  /**
   * Copies records in, from `from` to `count`, as long as there is room.
   *
   * @returns the index of the first that was not taken; an empty buffer takes at least one
   */
  append(bytes: Buffer, starts: Uint32Array, ends: Uint32Array, from: number, count: number): number {
    const before = this.count;
    const next = this.copyIn(bytes, starts, ends, from, count);
    this.#keyStarts = withRoomFor(this.count, this.#keyStarts);
    this.#keyEnds = withRoomFor(this.count, this.#keyEnds);
    for (let i = before; i < this.count; i++) {
      this.#findKey(this.slab, this.startOf(i), this.endOf(i), this.#range);
      this.#keyStarts[i] = this.#range.start;
      this.#keyEnds[i] = this.#range.end;
    }
    return next;
  }

  /** The records' indices in ascending order of their keys; equal keys in the order they came. */
  order(): Uint32Array {
    return orderOf({ bytes: this.slab, starts: this.#keyStarts, ends: this.#keyEnds, count: this.count });
  }

  /** True when the keys of two records are the same. */
  sameKey(a: number, b: number): boolean {
    const { slab } = this;
    const start = this.#keyStarts[a] as number;
    const other = this.#keyStarts[b] as number;
    const length = (this.#keyEnds[a] as number) - start;
    if (length !== (this.#keyEnds[b] as number) - other) return false;
    // Neighbours in the order are most often told apart by their last bytes.
    for (let i = length - 1; i >= 0; i--) if (slab[start + i] !== slab[other + i]) return false;
    return true;
  }
}
