import type { RunCursor } from './merge.js';
import type { RecordBuffer } from './record-buffer.js';

/** Reads the records of a buffer in their order. */
export class MemoryReader implements RunCursor {
  readonly #buffer: RecordBuffer;
  readonly #order: Uint32Array;
  readonly #dropOlder: boolean;
  #next = 0;
  readonly bytes: Buffer;
  start = 0;
  end = 0;

  /** @param dropOlder of records with the same key only the last is given */
  constructor(buffer: RecordBuffer, order: Uint32Array, dropOlder: boolean) {
    this.#buffer = buffer;
    this.#order = order;
    this.#dropOlder = dropOlder;
    this.bytes = buffer.slab;
  }

  step(): boolean {
    const order = this.#order;
    if (this.#dropOlder) {
      while (this.#next + 1 < order.length && this.#buffer.sameKey(order[this.#next] as number, order[this.#next + 1] as number))
        this.#next++;
    }
    if (this.#next >= order.length) return false;
    const index = order[this.#next++] as number;
    this.start = this.#buffer.startOf(index);
    this.end = this.#buffer.endOf(index);
    return true;
  }

  async turn(): Promise<boolean> {
    return this.step();
  }
}
