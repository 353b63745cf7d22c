import type { FindKey, KeyRange } from './key.js';
import { orderOf } from './order.js';
import { RUN_BYTES } from './run-file.js';
import type { Area } from './slab.js';

/** What a record costs beside its bytes: four offsets, its place in the order, a chunk of its key. */
const RECORD_COST = 28;
const FIRST_CAPACITY = 1024;
/** Records that lie this close to each other are copied with what is between them. */
const GAP_BYTES = 64;

/** Records in memory, up to a budget, and their order. Behind them is an area to stage copies in. */
export class RecordBuffer {
  readonly #findKey: FindKey;
  readonly #budget: number;
  readonly #range: KeyRange = { start: 0, end: 0 };
  #slab: Buffer;
  /** Bytes of the slab that are for records. */
  #capacity: number;
  #used = 0;
  #count = 0;
  #starts = new Uint32Array(FIRST_CAPACITY);
  #ends = new Uint32Array(FIRST_CAPACITY);
  #keyStarts = new Uint32Array(FIRST_CAPACITY);
  #keyEnds = new Uint32Array(FIRST_CAPACITY);

  /** @param budget bytes of memory to use, all told; a record that is larger is taken alone */
  constructor(findKey: FindKey, budget: number) {
    this.#findKey = findKey;
    this.#budget = budget;
    this.#capacity = budget;
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
   * Copies records in, from `from` to `count`, as long as there is room.
   *
   * @returns the index of the first that was not taken; an empty buffer takes at least one
   */
  append(bytes: Buffer, starts: Uint32Array, ends: Uint32Array, from: number, count: number): number {
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
      const shift = this.#used - start;
      for (; next < to; next++) this.#note((starts[next] as number) + shift, (ends[next] as number) + shift);
      this.#used += end - start;
    }
    return next;
  }

  /** Forgets all records; the memory stays. */
  clear(): void {
    this.#used = 0;
    this.#count = 0;
    if (this.#capacity === this.#budget) return;
    this.#capacity = this.#budget;
    this.#slab = Buffer.allocUnsafeSlow(this.#budget + RUN_BYTES);
  }

  /** Gives the memory back; nothing can be appended any more. */
  release(): void {
    this.#used = 0;
    this.#count = 0;
    this.#capacity = 0;
    this.#slab = Buffer.alloc(0);
  }

  /** The records' indices in ascending order of their keys; equal keys in the order they came. */
  order(): Uint32Array {
    return orderOf({ bytes: this.#slab, starts: this.#keyStarts, ends: this.#keyEnds, count: this.#count });
  }

  startOf(index: number): number {
    return this.#starts[index] as number;
  }

  endOf(index: number): number {
    return this.#ends[index] as number;
  }

  /** True when the keys of two records are the same. */
  sameKey(a: number, b: number): boolean {
    const start = this.#keyStarts[a] as number;
    const other = this.#keyStarts[b] as number;
    const length = (this.#keyEnds[a] as number) - start;
    if (length !== (this.#keyEnds[b] as number) - other) return false;
    // Neighbours in the order are most often told apart by their last bytes.
    for (let i = length - 1; i >= 0; i--) if (this.#slab[start + i] !== this.#slab[other + i]) return false;
    return true;
  }

  #hasRoom(bytes: number, records: number): boolean {
    return this.#used + bytes + (this.#count + records) * RECORD_COST <= this.#capacity;
  }

  #makeLarger(length: number): void {
    this.#capacity = length + RECORD_COST;
    this.#slab = Buffer.allocUnsafeSlow(this.#capacity + RUN_BYTES);
  }

  #note(start: number, end: number): void {
    if (this.#count === this.#starts.length) this.#grow();
    this.#findKey(this.#slab, start, end, this.#range);
    this.#starts[this.#count] = start;
    this.#ends[this.#count] = end;
    this.#keyStarts[this.#count] = this.#range.start;
    this.#keyEnds[this.#count] = this.#range.end;
    this.#count++;
  }

  #grow(): void {
    const capacity = this.#starts.length * 2;
    this.#starts = grown(this.#starts, capacity);
    this.#ends = grown(this.#ends, capacity);
    this.#keyStarts = grown(this.#keyStarts, capacity);
    this.#keyEnds = grown(this.#keyEnds, capacity);
  }
}

function grown(array: Uint32Array, capacity: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(capacity);
  larger.set(array);
  return larger;
}
