import { FerryError } from '../errors.js';
import { cursor, readHalves, readInt64, readVarint, skipField } from './varint.js';

/** Where the parts of an encoded `mvccpb.KeyValue` lie; filled again for each record. */
export interface KeyValueScan {
  keyStart: number;
  keyEnd: number;
  modRevision: bigint;
  /** Lease id, 0n for none. */
  lease: bigint;
}

export function newScan(): KeyValueScan {
  return { keyStart: 0, keyEnd: 0, modRevision: 0n, lease: 0n };
}

/**
 * Goes over all fields of the `mvccpb.KeyValue` at `bytes[start, end)` and copies nothing.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function scanKeyValue(bytes: Buffer, start: number, end: number, scan: KeyValueScan): void {
  const c = cursor(bytes, start, end);
  scan.keyStart = start;
  scan.keyEnd = start;
  scan.modRevision = 0n;
  scan.lease = 0n;
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x0a) {
      const length = readVarint(c);
      if (length > end - c.at) throw new FerryError('damaged', 'a protobuf message is cut short');
      scan.keyStart = c.at;
      c.at += length;
      scan.keyEnd = c.at;
    } else if (tag === 0x18) scan.modRevision = readInt64(c);
    else if (tag === 0x30) scan.lease = readInt64(c);
    else if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
    else skipField(c, tag & 7);
  }
}

/** A mod revision as two numbers, `high * 2^32 + low`: for who has millions of them, and no use for bigints. */
export interface RevisionScan {
  high: number;
  low: number;
}

export function newRevisionScan(): RevisionScan {
  return { high: 0, low: 0 };
}

/**
 * Finds the mod revision of the `mvccpb.KeyValue` at `bytes[start, end)`, as an unsigned integer, and
 * goes over all of its fields.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function scanModRevision(bytes: Buffer, start: number, end: number, scan: RevisionScan): void {
  const c = cursor(bytes, start, end);
  scan.high = 0;
  scan.low = 0;
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x18) readHalves(c, scan);
    else if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
    else skipField(c, tag & 7);
  }
}

/**
 * Finds the key of the `mvccpb.KeyValue` at `bytes[start, end)`, which is nearly always its first field.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function findKeyValueKey(bytes: Buffer, start: number, end: number, range: { start: number; end: number }): void {
  const c = cursor(bytes, start, end);
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x0a) {
      const length = readVarint(c);
      if (length > end - c.at) throw new FerryError('damaged', 'a protobuf message is cut short');
      range.start = c.at;
      range.end = c.at + length;
      return;
    }
    if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
    skipField(c, tag & 7);
  }
  range.start = start;
  range.end = start;
}
