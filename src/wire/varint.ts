import { FerryError } from '../errors.js';

/** A place in a buffer; moved on by every read. */
export interface Cursor {
  readonly bytes: Buffer;
  at: number;
  /** Offset just past the last byte that may be read. */
  readonly end: number;
}

/** @returns a cursor over `bytes` from `start` to `end` (defaults: all of it) */
export function cursor(bytes: Buffer, start = 0, end = bytes.length): Cursor {
  return { bytes, at: start, end };
}

/**
 * Reads a varint that must fit a safe integer: a length, a tag, an enum.
 *
 * @throws FerryError `damaged` when it is cut short or larger than 2^53-1
 */
export function readVarint(c: Cursor): number {
  const { bytes, end } = c;
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 8; i++) {
    if (c.at >= end) throw cut();
    const byte = bytes[c.at++] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (!Number.isSafeInteger(value)) throw new FerryError('damaged', 'a varint is larger than 2^53-1');
      return value;
    }
    scale *= 128;
  }
  throw new FerryError('damaged', 'a varint is longer than 8 bytes where a length was expected');
}

/**
 * Reads a varint of up to 64 bits, unsigned.
 *
 * @throws FerryError `damaged` when it is cut short or longer than 10 bytes
 */
export function readVarint64(c: Cursor): bigint {
  const { bytes, end } = c;
  let low = 0;
  let scale = 1;
  // Up to 49 bits as a number; almost every revision ends here.
  for (let i = 0; i < 7; i++) {
    if (c.at >= end) throw cut();
    const byte = bytes[c.at++] as number;
    low += (byte & 0x7f) * scale;
    if (byte < 0x80) return BigInt(low);
    scale *= 128;
  }
  let value = BigInt(low);
  for (let shift = 49n; shift < 70n; shift += 7n) {
    if (c.at >= end) throw cut();
    const byte = bytes[c.at++] as number;
    value |= BigInt(byte & 0x7f) << shift;
    if (byte < 0x80) return BigInt.asUintN(64, value);
  }
  throw new FerryError('damaged', 'a varint is longer than 10 bytes');
}

/**
 * Reads a varint of up to 64 bits, unsigned, as `high * 2^32 + low`.
 *
 * @throws FerryError `damaged` when it is cut short or longer than 10 bytes
 */
export function readHalves(c: Cursor, into: { high: number; low: number }): void {
  const { bytes, end } = c;
  let low = 0;
  let high = 0;
  for (let shift = 0; shift < 70; shift += 7) {
    if (c.at >= end) throw cut();
    const byte = bytes[c.at++] as number;
    const bits = byte & 0x7f;
    if (shift < 28) low |= bits << shift;
    else if (shift === 28) {
      low |= bits << 28;
      high = bits >>> 4;
    } else high |= bits << (shift - 32);
    if (byte < 0x80) {
      into.high = high >>> 0;
      into.low = low >>> 0;
      return;
    }
  }
  throw new FerryError('damaged', 'a varint is longer than 10 bytes');
}

/** Reads an int64 (protobuf: two's complement in a 64-bit varint). */
export function readInt64(c: Cursor): bigint {
  return BigInt.asIntN(64, readVarint64(c));
}

/**
 * Steps over a field's value.
 *
 * @param wireType protobuf wire type: 0 varint, 1 fixed64, 2 length-delimited, 5 fixed32
 * @throws FerryError `damaged` for any other wire type or a value that is cut short
 */
export function skipField(c: Cursor, wireType: number): void {
  switch (wireType) {
    case 0:
      readVarint64(c);
      return;
    case 1:
      advance(c, 8);
      return;
    case 2:
      advance(c, readVarint(c));
      return;
    case 5:
      advance(c, 4);
      return;
    default:
      throw new FerryError('damaged', `protobuf wire type ${wireType} is not known`);
  }
}

/**
 * Reads a length-delimited value, sharing the cursor's memory.
 *
 * @throws FerryError `damaged` when the length runs past the end
 */
export function readBytes(c: Cursor): Buffer {
  const length = readVarint(c);
  const start = c.at;
  advance(c, length);
  return c.bytes.subarray(start, c.at);
}

/** Number of bytes `value` takes as a varint. */
export function varintLength(value: number): number {
  let length = 1;
  for (let v = value; v >= 128; v = Math.floor(v / 128)) length++;
  return length;
}

/**
 * Writes a varint of a safe integer at `at`.
 *
 * @returns the offset just past it
 */
export function writeVarint(target: Buffer, at: number, value: number): number {
  let v = value;
  let i = at;
  while (v >= 128) {
    target[i++] = (v % 128) | 0x80;
    v = Math.floor(v / 128);
  }
  target[i++] = v;
  return i;
}

/** Number of bytes `value` (int64 or uint64) takes as a varint; negative ones take 10. */
export function varint64Length(value: bigint): number {
  if (value >= 0n && value <= 0x1fffffffffffffn) return varintLength(Number(value));
  let length = 1;
  for (let v = BigInt.asUintN(64, value); v >= 128n; v >>= 7n) length++;
  return length;
}

/**
 * Writes an int64 or uint64 as a varint at `at`.
 *
 * @returns the offset just past it
 */
export function writeVarint64(target: Buffer, at: number, value: bigint): number {
  if (value >= 0n && value <= 0x1fffffffffffffn) return writeVarint(target, at, Number(value));
  let v = BigInt.asUintN(64, value);
  let i = at;
  while (v >= 128n) {
    target[i++] = Number(v & 0x7fn) | 0x80;
    v >>= 7n;
  }
  target[i++] = Number(v);
  return i;
}

function advance(c: Cursor, length: number): void {
  if (length > c.end - c.at) throw cut();
  c.at += length;
}

function cut(): FerryError {
  return new FerryError('damaged', 'a protobuf message is cut short');
}
