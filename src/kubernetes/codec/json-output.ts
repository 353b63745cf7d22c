import { FerryError } from '../../errors.js';

/** A value whose JSON would be longer than this is refused: it was made to fill memory. */
const LARGEST_JSON = 256 * 1024 * 1024;
const HEX = Buffer.from('0123456789abcdef');
const COMMA = 0x2c;

/** 0: stands for itself. 1: needs a look (escape, or part of UTF-8). */
const NEEDS_LOOK = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  if (byte < 0x20 || byte >= 0x80 || '"\\<>&'.includes(String.fromCharCode(byte))) NEEDS_LOOK[byte] = 1;
}
const SHORT_ESCAPES: Readonly<Record<number, string>> = { 34: '"', 92: '\\', 10: 'n', 13: 'r', 9: 't', 8: 'b', 12: 'f' };

/** JSON text in UTF-8, written piece by piece into one buffer that is used again and again. */
export class JsonOutput {
  /** True when a string since the last reset had bytes that are not UTF-8: what they were is lost. */
  replaced = false;
  #bytes: Buffer = Buffer.allocUnsafeSlow(64 * 1024);
  #at = 0;

  /** Forgets what was written. */
  reset(): void {
    this.#at = 0;
    this.replaced = false;
  }

  /** A copy of what was written since the last reset. */
  take(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#at));
  }

  byte(value: number): void {
    if (this.#at === this.#bytes.length) this.#grow(1);
    this.#bytes[this.#at++] = value;
  }

  /** Bytes as they are: a key, text known to be JSON. */
  copy(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.#at + length > this.#bytes.length) this.#grow(length);
    if (length > 32) {
      this.#bytes.set(source.subarray(start, end), this.#at);
      this.#at += length;
      return;
    }
    const bytes = this.#bytes;
    let at = this.#at;
    for (let i = start; i < end; i++) bytes[at++] = source[i] as number;
    this.#at = at;
  }

  /** ASCII text as it is. */
  ascii(text: string): void {
    if (this.#at + text.length > this.#bytes.length) this.#grow(text.length);
    const bytes = this.#bytes;
    let at = this.#at;
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i);
    this.#at = at;
  }

  /** A whole number that is safe in a double. */
  integer(value: number): void {
    if (value < 0 || value > 99_999_999) {
      this.ascii(String(value));
      return;
    }
    if (this.#at + 8 > this.#bytes.length) this.#grow(8);
    let digits = 1;
    for (let limit = 10; value >= limit; limit *= 10) digits++;
    let rest = value;
    for (let i = this.#at + digits - 1; i >= this.#at; i--) {
      const next = (rest / 10) | 0;
      this.#bytes[i] = 0x30 + rest - next * 10;
      rest = next;
    }
    this.#at += digits;
  }

  base64(source: Buffer, start: number, end: number): void {
    this.byte(0x22);
    this.ascii(source.toString('base64', start, end));
    this.byte(0x22);
  }

  /** A member's or element's end; the last one of an object or list becomes its bracket. */
  comma(): void {
    this.byte(COMMA);
  }

  /** Ends an object or list: in place of the comma after its last member, if it has any. */
  close(bracket: number): void {
    if (this.#bytes[this.#at - 1] === COMMA) this.#bytes[this.#at - 1] = bracket;
    else this.byte(bracket);
  }

  /**
   * A JSON string of UTF-8 bytes, escaped as Go's encoding/json does: `<`, `>`, `&`, U+2028 and
   * U+2029 too, and U+FFFD in place of each byte that is not UTF-8.
   */
  string(source: Uint8Array, start: number, end: number): void {
    const room = (end - start) * 6 + 2;
    if (this.#at + room > this.#bytes.length) this.#grow(room);
    const bytes = this.#bytes;
    let at = this.#at;
    bytes[at++] = 0x22;
    for (let i = start; i < end; ) {
      const byte = source[i] as number;
      if (NEEDS_LOOK[byte] === 0) {
        bytes[at++] = byte;
        i++;
        continue;
      }
      this.#at = at;
      i += byte < 0x80 ? this.#escape(byte) : this.#character(source, i, end);
      at = this.#at;
    }
    bytes[at++] = 0x22;
    this.#at = at;
  }

  #escape(byte: number): number {
    const short = SHORT_ESCAPES[byte];
    if (short !== undefined) {
      this.#bytes[this.#at++] = 0x5c;
      this.#bytes[this.#at++] = short.charCodeAt(0);
    } else this.#unicode(byte);
    return 1;
  }

  #unicode(code: number): void {
    const bytes = this.#bytes;
    bytes[this.#at++] = 0x5c;
    bytes[this.#at++] = 0x75;
    for (let shift = 12; shift >= 0; shift -= 4) bytes[this.#at++] = HEX[(code >> shift) & 15] as number;
  }

  /** @returns how many bytes of the source the character takes; 1 for a byte that is not UTF-8 */
  #character(source: Uint8Array, i: number, end: number): number {
    const length = characterLength(source, i, end);
    if (length === 0) {
      this.replaced = true;
      this.#unicode(0xfffd);
      return 1;
    }
    if (length === 3 && source[i] === 0xe2 && source[i + 1] === 0x80 && ((source[i + 2] as number) & 0xfe) === 0xa8) {
      this.#unicode(0x2028 + ((source[i + 2] as number) & 1));
      return 3;
    }
    for (let k = 0; k < length; k++) this.#bytes[this.#at++] = source[i + k] as number;
    return length;
  }

  #grow(room: number): void {
    const needed = this.#at + room;
    if (needed > LARGEST_JSON) throw new FerryError('damaged', `a stored value decodes to more than ${LARGEST_JSON} bytes of JSON`);
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** Length of the UTF-8 character at `i` (Unicode table 3-7), 0 when there is none. */
export function characterLength(source: Uint8Array, i: number, end: number): number {
  const first = source[i] as number;
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0 || i + length > end) return 0;
  const second = source[i + 1] as number;
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let k = 2; k < length; k++) if (((source[i + k] as number) & 0xc0) !== 0x80) return 0;
  return length;
}
