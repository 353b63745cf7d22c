import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { KeyValue } from '../model/keyvalue.js';
import { encodeFields } from './fields.js';
import { cursor, readBytes, readInt64, readVarint, skipField } from './varint.js';

const EMPTY: Buffer = Buffer.alloc(0);

/**
 * Decodes an `mvccpb.KeyValue` (etcd api/mvccpb/kv.proto). Keys and values share `bytes`.
 * Unknown fields are stepped over.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function decodeKeyValue(bytes: Buffer, start = 0, end = bytes.length): KeyValue {
  const c = cursor(bytes, start, end);
  const kv = { key: EMPTY, value: EMPTY, createRevision: 0n, modRevision: 0n, version: 0n, lease: 0n };
  while (c.at < end) {
    const tag = readVarint(c);
    switch (tag) {
      case 0x0a:
        kv.key = readBytes(c);
        break;
      case 0x10:
        kv.createRevision = readInt64(c);
        break;
      case 0x18:
        kv.modRevision = readInt64(c);
        break;
      case 0x20:
        kv.version = readInt64(c);
        break;
      case 0x2a:
        kv.value = readBytes(c);
        break;
      case 0x30:
        kv.lease = readInt64(c);
        break;
      default:
        skipUnknown(c, tag);
    }
  }
  return kv;
}

/**
 * The key of an encoded `mvccpb.KeyValue`, sharing its memory. etcd writes fields in ascending
 * order, so the key is nearly always the first and the rest is not looked at.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function keyOf(bytes: Buffer, start = 0, end = bytes.length): Buffer {
  const c = cursor(bytes, start, end);
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x0a) return readBytes(c);
    skipUnknown(c, tag);
  }
  return EMPTY;
}

/** The lease id of an encoded `mvccpb.KeyValue`; 0n for none. */
export function leaseOf(bytes: Buffer, start = 0, end = bytes.length): bigint {
  const c = cursor(bytes, start, end);
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x30) return readInt64(c);
    skipUnknown(c, tag);
  }
  return 0n;
}

/**
 * Encodes an `mvccpb.KeyValue` as etcd's gogo-proto code does: fields ascending, zero and empty
 * ones left out.
 */
export function encodeKeyValue(kv: KeyValue): Buffer {
  return encodeFields([
    [0x0a, kv.key],
    [0x10, kv.createRevision],
    [0x18, kv.modRevision],
    [0x20, kv.version],
    [0x2a, kv.value],
    [0x30, kv.lease],
  ]);
}

function skipUnknown(c: ReturnType<typeof cursor>, tag: number): void {
  const field = Math.floor(tag / 8);
  if (field === 0) throw new FerryError('damaged', 'a protobuf field has number 0');
  skipField(c, tag & 7);
}

/** The keys of a batch's records, one by one; they share its memory. */
export function* keysOf(batch: RecordBatch): Generator<Buffer> {
  for (let i = 0; i < batch.count; i++) yield keyOf(batch.bytes, batch.starts[i], batch.ends[i]);
}
