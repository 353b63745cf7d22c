/**
 * Writes protobuf from the last byte to the first, as gogo-proto does, so that a message's length is
 * known when it is written before it.
 */
export class BackWriter {
  #bytes: Buffer = Buffer.allocUnsafe(4096);
  #at = this.#bytes.length;

  /** Number of bytes written so far. */
  get length(): number {
    return this.#bytes.length - this.#at;
  }

  /** What was written, in its own memory. */
  take(): Buffer {
    return Buffer.from(this.#bytes.subarray(this.#at));
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length);
    this.#at -= value.length;
    this.#bytes.set(value, this.#at);
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[--this.#at] = value;
  }

  /** An int64 (negative ones take ten bytes) or a length or tag. */
  varint(value: number | bigint): void {
    const parts: number[] = [];
    if (typeof value === 'number' && value >= 0) {
      let rest = value;
      for (; rest >= 128; rest = Math.floor(rest / 128)) parts.push((rest % 128) | 0x80);
      parts.push(rest);
    } else {
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest >= 128n; rest >>= 7n) parts.push(Number(rest & 0x7fn) | 0x80);
      parts.push(Number(rest));
    }
    this.#room(parts.length);
    this.#at -= parts.length;
    for (const [i, part] of parts.entries()) this.#bytes[this.#at + i] = part;
  }

  double(value: number): void {
    this.#room(8);
    this.#at -= 8;
    this.#bytes.writeDoubleLE(value, this.#at);
  }

  tag(number: number, wire: 0 | 1 | 2): void {
    this.varint(number * 8 + wire);
  }

  /** Length and tag of what was written since `length` was `before`. */
  close(number: number, before: number): void {
    this.varint(this.length - before);
    this.tag(number, 2);
  }

  #room(count: number): void {
    if (count <= this.#at) return;
    const used = this.length;
    const larger = Buffer.allocUnsafe(Math.max(used + count, this.#bytes.length * 2));
    this.#bytes.copy(larger, larger.length - used, this.#at);
    this.#bytes = larger;
    this.#at = larger.length - used;
  }
}
