import { RUN_BYTES } from './run-file.js';
import type { Area } from './slab.js';

const FIRST_CAPACITY = 1024;
/** Records that lie this close to each other are copied with what is between them. */
const GAP_BYTES = 64;

export interface RecordSlabOptions {
  /** Bytes of memory to use, all told; a record that is larger is taken alone. */
  readonly budget: number;
  /** What a record costs beside its bytes, in bytes. */
  readonly recordCost: number;
  /** Bytes that may be read before any record, whatever is in them. */
  readonly room: number;
}

/** Records in memory, packed, up to a budget. Behind them is an area to stage copies in. */
export class RecordSlab {
  readonly #options: RecordSlabOptions;
  #slab: Buffer;
  /** Bytes of the slab that are for records. */
  #capacity: number;
  #used: number;
  #count = 0;
  #starts = new Uint32Array(FIRST_CAPACITY);
  #ends = new Uint32Array(FIRST_CAPACITY);

  constructor(options: RecordSlabOptions) {
    const { budget, room } = options;
    this.#options = options;
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

  startOf(index: number): number {
    return this.#starts[index] as number;
  }

  endOf(index: number): number {
    return this.#ends[index] as number;
  }

  /**
   * Copies records in, from `from` to `count`, as long as there is room.
   *
   * @returns the index of the first that was not taken; an empty slab takes at least one
   */
  copyIn(bytes: Buffer, starts: Uint32Array, ends: Uint32Array, from: number, count: number): number {
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
      this.#note(starts, ends, next, to, this.#used - start);
      this.#used += end - start;
      next = to;
    }
    return next;
  }

  /** Forgets all records; the memory stays. */
  clear(): void {
    const { budget } = this.#options;
    this.#used = this.#options.room;
    this.#count = 0;
    if (this.#capacity === budget) return;
    this.#capacity = budget;
    this.#slab = Buffer.allocUnsafeSlow(budget + RUN_BYTES);
  }

  /** Gives the memory back; nothing can be copied in any more. */
  release(): void {
    this.#used = this.#options.room;
    this.#count = 0;
    this.#capacity = 0;
    this.#slab = Buffer.alloc(0);
  }

  #hasRoom(bytes: number, records: number): boolean {
    return this.#used + bytes + (this.#count + records) * this.#options.recordCost <= this.#capacity;
  }

  #makeLarger(length: number): void {
    const { room, recordCost } = this.#options;
    this.#capacity = room + length + recordCost;
    this.#slab = Buffer.allocUnsafeSlow(this.#capacity + RUN_BYTES);
  }

  #note(starts: Uint32Array, ends: Uint32Array, from: number, to: number, shift: number): void {
    this.#starts = withRoomFor(this.#count + to - from, this.#starts);
    this.#ends = withRoomFor(this.#count + to - from, this.#ends);
    for (let i = from; i < to; i++) {
      this.#starts[this.#count] = (starts[i] as number) + shift;
      this.#ends[this.#count] = (ends[i] as number) + shift;
      this.#count++;
    }
  }
}

/** The array itself when `count` numbers go into it, else a copy of at least twice its size. */
export function withRoomFor(count: number, array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  if (count <= array.length) return array;
  const larger = new Uint32Array(Math.max(count, 2 * array.length));
  larger.set(array);
  return larger;
}
