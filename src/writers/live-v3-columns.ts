import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { cursor, readInt64, readVarint, skipField } from '../wire/varint.js';

/**
 * A batch of v3 records taken apart: where keys and values lie, and the leases. What a put needs
 * and no more: revisions are stepped over, nothing is copied.
 */
export interface Columns {
  readonly bytes: Buffer;
  readonly count: number;
  readonly keyStarts: Uint32Array;
  readonly keyEnds: Uint32Array;
  readonly valueStarts: Uint32Array;
  readonly valueEnds: Uint32Array;
  /** Lease ids of the source; 0n for none. */
  readonly leases: BigInt64Array;
}

/**
 * Takes a batch of `mvccpb.KeyValue` (etcd api/mvccpb/kv.proto) apart.
 *
 * @throws FerryError `damaged` when a record does not parse or has no key
 */
export function columnsOf(batch: RecordBatch): Columns {
  const { bytes, count } = batch;
  const [keyStarts, keyEnds] = [new Uint32Array(count), new Uint32Array(count)];
  const [valueStarts, valueEnds] = [new Uint32Array(count), new Uint32Array(count)];
  const columns = { bytes, count, keyStarts, keyEnds, valueStarts, valueEnds, leases: new BigInt64Array(count) };
  for (let i = 0; i < count; i++) readRecord(columns, i, batch.starts[i] as number, batch.ends[i] as number);
  return columns;
}

/** The records at these indices, sharing memory. */
export function pickColumns(columns: Columns, picked: readonly number[]): Columns {
  const { bytes, keyStarts, keyEnds, valueStarts, valueEnds } = columns;
  const of = (offsets: Uint32Array): Uint32Array => Uint32Array.from(picked, (i) => offsets[i] as number);
  return {
    bytes,
    count: picked.length,
    keyStarts: of(keyStarts),
    keyEnds: of(keyEnds),
    valueStarts: of(valueStarts),
    valueEnds: of(valueEnds),
    leases: BigInt64Array.from(picked, (i) => columns.leases[i] as bigint),
  };
}

/** Key `i`, sharing memory. */
export function keyAt(columns: Columns, i: number): Buffer {
  return columns.bytes.subarray(columns.keyStarts[i], columns.keyEnds[i]);
}

/** Value `i`, sharing memory. */
export function valueAt(columns: Columns, i: number): Buffer {
  return columns.bytes.subarray(columns.valueStarts[i], columns.valueEnds[i]);
}

/** Bytes of key and value of record `i`. */
export function sizeAt(columns: Columns, i: number): number {
  return keyLength(columns, i) + valueLength(columns, i);
}

export function keyLength(columns: Columns, i: number): number {
  return (columns.keyEnds[i] as number) - (columns.keyStarts[i] as number);
}

export function valueLength(columns: Columns, i: number): number {
  return (columns.valueEnds[i] as number) - (columns.valueStarts[i] as number);
}

/** Every index of the records, ascending. */
export function everyIndex(columns: Columns): Uint32Array {
  return Uint32Array.from({ length: columns.count }, (_, i) => i);
}

/** Orders key `i` against any key, as Buffer.compare does. */
export function compareKey(columns: Columns, i: number, key: Buffer): number {
  return columns.bytes.compare(key, 0, key.length, columns.keyStarts[i], columns.keyEnds[i]);
}

/** True when value `i` has these bytes. */
export function valueEquals(columns: Columns, i: number, value: Buffer): boolean {
  if (valueLength(columns, i) !== value.length) return false;
  return columns.bytes.compare(value, 0, value.length, columns.valueStarts[i], columns.valueEnds[i]) === 0;
}

function readRecord(columns: Columns, i: number, start: number, end: number): void {
  const c = cursor(columns.bytes, start, end);
  while (c.at < end) {
    const tag = readVarint(c);
    switch (tag) {
      case 0x0a:
        columns.keyEnds[i] = readSpan(c, columns.keyStarts, i);
        break;
      case 0x2a:
        columns.valueEnds[i] = readSpan(c, columns.valueStarts, i);
        break;
      case 0x30:
        columns.leases[i] = readInt64(c);
        break;
      case 0x10:
      case 0x18:
      case 0x20:
        skipVarint(columns.bytes, c);
        break;
      default:
        skipField(c, tag & 7);
    }
  }
  if (columns.keyStarts[i] === columns.keyEnds[i]) throw new FerryError('damaged', 'a record has no key');
}

function readSpan(c: ReturnType<typeof cursor>, starts: Uint32Array, i: number): number {
  const length = readVarint(c);
  if (length > c.end - c.at) throw new FerryError('damaged', 'a record is cut short');
  starts[i] = c.at;
  c.at += length;
  return c.at;
}

/** Steps over a varint without making a number of it. */
function skipVarint(bytes: Buffer, c: ReturnType<typeof cursor>): void {
  while (c.at < c.end && (bytes[c.at] as number) >= 0x80) c.at++;
  if (c.at >= c.end) throw new FerryError('damaged', 'a record is cut short');
  c.at++;
}
