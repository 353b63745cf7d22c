import { doubled } from './doubled.js';

const FIRST_SIZE = 1024;

/** Lease ids in eight bytes each: a cluster may have millions. To be added in their order, as signed integers. */
export class LeaseIds {
  #ids = new BigInt64Array(FIRST_SIZE);
  #count = 0;

  add(id: bigint): void {
    if (this.#count === this.#ids.length) this.#ids = doubled(this.#ids);
    this.#ids[this.#count++] = id;
  }

  has(id: bigint): boolean {
    let [low, high] = [0, this.#count];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ids[middle] as bigint) < id) low = middle + 1;
      else high = middle;
    }
    return low < this.#count && this.#ids[low] === id;
  }
}
