import { FerryError } from '../../errors.js';

/** Where the last varint read ended; read it at once. A module's variable, so that nothing is allocated. */
export let varintEnd = 0;
/** Whether all varints read since the last question were as short as they can be, with no bit beyond the 64. */
let areShortest = true;

/** Whether that is so; from now on it is asked of those still to be read. */
export function wereShortest(): boolean {
  const were = areShortest;
  areShortest = true;
  return were;
}

/**
 * Reads a varint that must fit 32 bits: a tag, a length.
 *
 * @throws FerryError `damaged` when it is cut short or larger
 */
export function varint32At(bytes: Uint8Array, at: number, end: number): number {
  let value = 0;
  for (let i = at, shift = 0; i < end && shift < 35; i++, shift += 7) {
    const byte = bytes[i] as number;
    value += shift < 28 ? (byte & 0x7f) << shift : (byte & 0x7f) * 0x10000000;
    if (byte < 0x80) {
      if (value > 0xffffffff) break;
      if (byte === 0 && i > at) areShortest = false;
      varintEnd = i + 1;
      return value;
    }
  }
  throw cut();
}

/**
 * Reads a varint of up to 64 bits as the int64 it stands for; safe integers come as numbers.
 *
 * @throws FerryError `damaged` when it is cut short or longer than 10 bytes
 */
export function int64At(bytes: Uint8Array, at: number, end: number): number | bigint {
  let low = 0;
  let high = 0;
  for (let i = at, n = 0; i < end && n < 10; i++, n++) {
    const byte = bytes[i] as number;
    if (n < 4) low += (byte & 0x7f) << (7 * n);
    else if (n < 8) high += (byte & 0x7f) * 2 ** (7 * (n - 4));
    else high += (byte & 0x7f) * 2 ** 28 * (n === 8 ? 1 : 128);
    if (byte < 0x80) {
      if ((byte === 0 && n > 0) || (n === 9 && byte > 1)) areShortest = false;
      varintEnd = i + 1;
      return n < 7 ? low + high * 0x10000000 : wide(low, high);
    }
  }
  throw cut();
}

/** @param low 28 bits, `high` the rest */
function wide(low: number, high: number): number | bigint {
  const value = BigInt.asIntN(64, BigInt(low) + (BigInt(high) << 28n));
  return value >= -0x1fffffffffffffn && value <= 0x1fffffffffffffn ? Number(value) : value;
}

/** Steps over a varint. */
export function skipVarintAt(bytes: Uint8Array, at: number, end: number): number {
  for (let i = at, n = 0; i < end && n < 10; i++, n++) if ((bytes[i] as number) < 0x80) return i + 1;
  throw cut();
}

/**
 * Steps over a field's value and gives the offset just past it.
 *
 * @throws FerryError `damaged` when it is cut short, or of a wire type Kubernetes never writes
 */
export function skipValueAt(bytes: Uint8Array, at: number, end: number, wire: number): number {
  let next: number;
  if (wire === 2) {
    const length = varint32At(bytes, at, end);
    next = varintEnd + length;
  } else if (wire === 0) next = skipVarintAt(bytes, at, end);
  else if (wire === 1) next = at + 8;
  else if (wire === 5) next = at + 4;
  else throw new FerryError('damaged', `protobuf wire type ${wire} is not known`);
  if (next > end) throw cut();
  return next;
}

function cut(): FerryError {
  return new FerryError('damaged', 'a protobuf message is cut short');
}
