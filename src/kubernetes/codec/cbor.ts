import { FerryError } from '../../errors.js';
import { DEEPEST } from './json-check.js';
import { JsonOutput } from './json-output.js';

/** The self-describing tag 55799 (RFC 8949, 3.4.6), with which Kubernetes begins its CBOR. */
export const CBOR_PREFIX: Buffer = Buffer.from([0xd9, 0xd9, 0xf7]);

export function isCbor(bytes: Buffer, start = 0, end = bytes.length): boolean {
  return end - start > 3 && bytes[start] === 0xd9 && bytes[start + 1] === 0xd9 && bytes[start + 2] === 0xf7;
}

/**
 * The JSON of one CBOR item, as Kubernetes makes it (apimachinery pkg/runtime/serializer/cbor): byte
 * strings are text unless a tag asks for base64, names of members are strings, items of indefinite
 * length are not taken.
 *
 * @throws FerryError `damaged` when it is not such CBOR
 */
export function cborToJson(bytes: Buffer, start = 0, end = bytes.length): Buffer {
  const out = new JsonOutput();
  const reader = new CborReader(bytes, start, end, out);
  reader.item(0);
  reader.finish();
  return out.take();
}

class CborReader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;
  readonly #out: JsonOutput;

  constructor(bytes: Buffer, start: number, end: number, out: JsonOutput) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#out = out;
  }

  finish(): void {
    if (this.#at !== this.#end) throw bad('bytes follow the CBOR item');
  }

  item(depth: number, asBase64 = false): void {
    if (depth > DEEPEST) throw bad(`CBOR is nested more than ${DEEPEST} deep`);
    const first = this.#byte();
    const info = first & 31;
    switch (first >> 5) {
      case 0:
        this.#out.ascii(String(this.#argument(info)));
        return;
      case 1:
        this.#out.ascii(String(-1n - this.#argument(info)));
        return;
      case 2:
        this.#string(info, asBase64);
        return;
      case 3:
        this.#string(info, false);
        return;
      case 4:
        this.#array(info, depth);
        return;
      case 5:
        this.#map(info, depth);
        return;
      case 6: {
        const tag = this.#argument(info);
        this.item(depth + 1, tag === 21n || tag === 22n || tag === 23n);
        return;
      }
      default:
        this.#simple(info);
    }
  }

  #string(info: number, asBase64: boolean): void {
    const start = this.#at + argumentLength(info);
    const length = this.#length(info, 1);
    this.#at = start + length;
    if (asBase64) this.#out.base64(this.#bytes, start, this.#at);
    else this.#out.string(this.#bytes, start, this.#at);
  }

  #array(info: number, depth: number): void {
    this.#out.byte(0x5b);
    for (let rest = this.#length(info, 1); rest > 0; rest--) {
      this.item(depth + 1);
      this.#out.comma();
    }
    this.#out.close(0x5d);
  }

  #map(info: number, depth: number): void {
    this.#out.byte(0x7b);
    for (let rest = this.#length(info, 2); rest > 0; rest--) {
      const key = this.#byte();
      if (key >> 5 !== 2 && key >> 5 !== 3) throw bad('a name in a CBOR map is not a string');
      this.#string(key & 31, false);
      this.#out.byte(0x3a);
      this.item(depth + 1);
      this.#out.comma();
    }
    this.#out.close(0x7d);
  }

  #simple(info: number): void {
    if (info >= 25 && info <= 27) {
      const size = info === 25 ? 2 : info === 26 ? 4 : 8;
      this.#need(size);
      const value =
        size === 2
          ? half(this.#bytes.readUInt16BE(this.#at))
          : size === 4
            ? this.#bytes.readFloatBE(this.#at)
            : this.#bytes.readDoubleBE(this.#at);
      this.#at += size;
      if (!Number.isFinite(value)) throw bad('a CBOR number is not finite');
      this.#out.ascii(String(value));
      return;
    }
    const word = { 20: 'false', 21: 'true', 22: 'null', 23: 'null' }[info];
    if (word === undefined) throw bad(`CBOR simple value ${info} is not known`);
    this.#out.ascii(word);
  }

  /** A length, at least `size` bytes each: never more than what is left. */
  #length(info: number, size: number): number {
    const length = Number(this.#argument(info));
    if (length * size > this.#end - this.#at) throw bad('CBOR is cut short');
    return length;
  }

  #argument(info: number): bigint {
    if (info < 24) return BigInt(info);
    if (info > 27) throw bad('CBOR of indefinite length, which Kubernetes does not write');
    const size = argumentLength(info);
    this.#need(size);
    let value = 0n;
    for (let i = 0; i < size; i++) value = value * 256n + BigInt(this.#byte());
    return value;
  }

  #byte(): number {
    this.#need(1);
    return this.#bytes[this.#at++] as number;
  }

  #need(count: number): void {
    if (count > this.#end - this.#at) throw bad('CBOR is cut short');
  }
}

/** Bytes of argument after the first byte. */
function argumentLength(info: number): number {
  return info < 24 ? 0 : info === 24 ? 1 : info === 25 ? 2 : info === 26 ? 4 : 8;
}

/** IEEE 754 half precision (RFC 8949, appendix D). */
function half(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  const size =
    exponent === 0
      ? mantissa * 2 ** -24
      : exponent === 31
        ? mantissa === 0
          ? Infinity
          : Number.NaN
        : (mantissa + 1024) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}

function bad(message: string): FerryError {
  return new FerryError('damaged', message);
}
