/** The highest field number of KeyValue and of the archive's Node. */
const FIELDS = 6;
/** Bytes of a varint that fits a number exactly, whatever they are. */
const EXACT_BYTES = 7;

/**
 * The fields of a small message, of which no field has a number above 6, as numbers and offsets: no
 * object, no bigint, no copy. For a look at every record where most are as they should be.
 */
export class RecordFields {
  /** Values of number fields, by field number; 0 for one that is absent. */
  readonly numbers: number[] = new Array<number>(FIELDS + 1).fill(0);
  /** Where the bytes of a field begin and end; both 0 for one that is absent. */
  readonly from: number[] = new Array<number>(FIELDS + 1).fill(0);
  readonly to: number[] = new Array<number>(FIELDS + 1).fill(0);
  #at = 0;

  /** @returns false for a message that has anything else in it, or a number from 2^49 on: it must be decoded */
  scan(bytes: Buffer, start: number, end: number): boolean {
    this.numbers.fill(0);
    this.from.fill(0);
    this.to.fill(0);
    this.#at = start;
    while (this.#at < end) {
      const tag = bytes[this.#at++] as number;
      const field = tag >>> 3;
      if (field === 0 || field > FIELDS) return false;
      const value = this.#varint(bytes, end);
      if (value < 0) return false;
      if ((tag & 7) === 0) this.numbers[field] = value;
      else if ((tag & 7) !== 2 || value > end - this.#at) return false;
      else {
        this.from[field] = this.#at;
        this.#at += value;
        this.to[field] = this.#at;
      }
    }
    return true;
  }

  /** @returns -1 when it is cut short or too long */
  #varint(bytes: Buffer, end: number): number {
    let value = 0;
    let scale = 1;
    const limit = Math.min(end, this.#at + EXACT_BYTES);
    for (let at = this.#at; at < limit; at++) {
      const byte = bytes[at] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.#at = at + 1;
        return value;
      }
      scale *= 128;
    }
    return -1;
  }
}
