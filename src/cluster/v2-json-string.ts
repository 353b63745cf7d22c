import { FerryError } from '../errors.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const REPLACEMENT = 0xfffd;
/** Control characters stand in strings as escapes only (RFC 8259, section 7): others are what became of a damaged answer. */
const FIRST_PLAIN = 0x20;

/** Most bytes one string of an answer may have; readers accept no larger record either. */
const LONGEST = 64 * 1024 * 1024;

/** What a byte after a backslash stands for; 0 where it is no escape (RFC 8259, section 7). */
const SIMPLE = new Uint8Array(256);
for (const [letter, byte] of Object.entries({ '"': 0x22, '\\': 0x5c, '/': 0x2f, b: 8, f: 12, n: 10, r: 13, t: 9 })) {
  SIMPLE[letter.charCodeAt(0)] = byte;
}

/** Not 0 for a byte that is not copied as it is. */
const SPECIAL = new Uint8Array(256);
SPECIAL.fill(1, 0, FIRST_PLAIN);
SPECIAL[QUOTE] = 1;
SPECIAL[BACKSLASH] = 1;

/** Value of a hexadecimal digit; 255 for any other byte. */
const HEX = new Uint8Array(256).fill(255);
for (let digit = 0; digit < 16; digit++) {
  HEX[digit.toString(16).charCodeAt(0)] = digit;
  HEX[digit.toString(16).toUpperCase().charCodeAt(0)] = digit;
}

/** Where in an escape the decoder stands: in none, after the backslash, or in the digits of `\u`. */
type EscapeState = 'none' | 'backslash' | 'digits';

/**
 * Decodes one JSON string after another from chunks cut anywhere. Raw bytes are kept as they are.
 *
 * Go's encoder writes a byte that is not UTF-8 as the escape `\ufffd`, and a real U+FFFD as its
 * three bytes (encoding/json, appendString): `replaced` tells the two apart, which no parser
 * that returns text can.
 */
export class JsonStringDecoder {
  /** Scratch; the string just read is its first `length` bytes, until the next `start()`. */
  bytes: Buffer = Buffer.allocUnsafe(64 * 1024);
  length = 0;
  /** True when an escape stood for a byte (or half a surrogate pair) that is not text. */
  replaced = false;
  #escape: EscapeState = 'none';
  #digits = 0;
  #unit = 0;
  /** First half of a surrogate pair that waits for its second; 0 for none. */
  #high = 0;

  /** Begins a new string; its opening quote has been read. */
  start(): void {
    this.length = 0;
    this.replaced = false;
    this.#escape = 'none';
    this.#high = 0;
  }

  /** The string just read; its memory is overwritten by the next one. */
  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  /**
   * Reads on from `chunk[from]`.
   *
   * @returns the offset just past the closing quote, or -1 when the chunk ends before it
   * @throws FerryError `unreachable` when an escape is none, a control character stands there, or the string is too long
   */
  read(chunk: Uint8Array, from: number): number {
    let i = from;
    const end = chunk.length;
    this.#reserve(end - from);
    while (i < end) {
      if (this.#escape !== 'none') {
        this.#escapeByte(chunk[i++] as number);
        continue;
      }
      if (this.#high === 0) i = this.#plainRun(chunk, i);
      if (i === end) return -1;
      const byte = chunk[i++] as number;
      if (byte === BACKSLASH) {
        this.#escape = 'backslash';
        continue;
      }
      this.#dropHalfPair();
      if (byte === QUOTE) return i;
      if (byte < FIRST_PLAIN) throw badControl();
      this.bytes[this.length++] = byte;
    }
    return -1;
  }

  /** Copies up to the next quote, or an escape that is cut or not ASCII. */
  #plainRun(chunk: Uint8Array, from: number): number {
    const out = this.bytes;
    const end = chunk.length;
    let at = this.length;
    let i = from;
    for (;;) {
      const past = copyPlain(chunk, i, out, at);
      at += past - i;
      i = past;
      if (i >= end || chunk[i] !== BACKSLASH) break;
      const escaped = i + 1 < end ? (chunk[i + 1] as number) : 0;
      const simple = SIMPLE[escaped] as number;
      if (simple !== 0) {
        out[at++] = simple;
        i += 2;
        continue;
      }
      // Go writes <, > and & as \u003c, \u003e and \u0026.
      const ascii = escaped === 0x75 && i + 6 <= end ? asciiUnit(chunk, i + 2) : NOT_ASCII;
      if (ascii === NOT_ASCII) break;
      out[at++] = ascii;
      i += 6;
    }
    this.length = at;
    return i;
  }

  #escapeByte(byte: number): void {
    if (this.#escape === 'backslash') {
      if (byte === 0x75) {
        this.#escape = 'digits';
        this.#digits = 0;
        this.#unit = 0;
        return;
      }
      const simple = SIMPLE[byte] as number;
      if (simple === 0) throw badEscape();
      this.#dropHalfPair();
      this.bytes[this.length++] = simple;
      this.#escape = 'none';
      return;
    }
    const digit = HEX[byte] as number;
    if (digit > 15) throw badEscape();
    this.#unit = this.#unit * 16 + digit;
    this.#digits++;
    if (this.#digits < 4) return;
    this.#escape = 'none';
    this.#codeUnit(this.#unit);
  }

  #codeUnit(unit: number): void {
    if (this.#high !== 0 && unit >= 0xdc00 && unit <= 0xdfff) {
      const point = 0x10000 + (this.#high - 0xd800) * 0x400 + (unit - 0xdc00);
      this.#high = 0;
      this.#append(point);
      return;
    }
    this.#dropHalfPair();
    if (unit >= 0xd800 && unit <= 0xdbff) {
      this.#high = unit;
      return;
    }
    if (unit === REPLACEMENT || (unit >= 0xdc00 && unit <= 0xdfff)) this.replaced = true;
    this.#append(unit);
  }

  #dropHalfPair(): void {
    if (this.#high === 0) return;
    this.#high = 0;
    this.replaced = true;
    this.#append(REPLACEMENT);
  }

  #append(point: number): void {
    this.#reserve(4);
    this.length += this.bytes.write(String.fromCodePoint(point), this.length, 'utf8');
  }

  /** Makes room for `more` bytes of the answer, and what an open escape may still add. */
  #reserve(more: number): void {
    if (this.length > LONGEST) {
      throw new FerryError('unreachable', `the answer holds a string of more than ${LONGEST} bytes`, {
        hint: 'No etcd takes a value that large; is this an etcd endpoint?',
      });
    }
    const needed = this.length + more + 8;
    if (needed <= this.bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.bytes.length));
    this.bytes.copy(grown, 0, 0, this.length);
    this.bytes = grown;
  }
}

/**
 * Copies up to the next quote or backslash. Four bytes a turn take a third less time than one.
 *
 * @returns where it stands in the chunk, which may be its end
 */
function copyPlain(chunk: Uint8Array, from: number, out: Uint8Array, at: number): number {
  const end = chunk.length;
  const lastFour = end - 4;
  const shift = at - from;
  let i = from;
  for (; i <= lastFour; i += 4) {
    const first = chunk[i] as number;
    if (SPECIAL[first] !== 0) return i;
    out[i + shift] = first;
    const second = chunk[i + 1] as number;
    if (SPECIAL[second] !== 0) return i + 1;
    out[i + shift + 1] = second;
    const third = chunk[i + 2] as number;
    if (SPECIAL[third] !== 0) return i + 2;
    out[i + shift + 2] = third;
    const fourth = chunk[i + 3] as number;
    if (SPECIAL[fourth] !== 0) return i + 3;
    out[i + shift + 3] = fourth;
  }
  for (; i < end; i++) {
    const byte = chunk[i] as number;
    if (SPECIAL[byte] !== 0) return i;
    out[i + shift] = byte;
  }
  return i;
}

const NOT_ASCII = 128;

/** The character of four hexadecimal digits, when it is ASCII. */
function asciiUnit(chunk: Uint8Array, at: number): number {
  const unit = ((HEX[chunk[at + 2] as number] as number) << 4) | (HEX[chunk[at + 3] as number] as number);
  return chunk[at] === 0x30 && chunk[at + 1] === 0x30 && unit < NOT_ASCII ? unit : NOT_ASCII;
}

function badControl(): FerryError {
  return new FerryError('unreachable', 'the answer is not JSON: a control character stands in a string as it is');
}

function badEscape(): FerryError {
  return new FerryError('unreachable', 'the answer is not JSON: it holds an escape that is none');
}
