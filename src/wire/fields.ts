import { varint64Length, varintLength, writeVarint, writeVarint64 } from './varint.js';

/** A field to be written: its tag (fields below 16 only) and its value. */
export type Field = readonly [tag: number, value: bigint | Buffer];

/**
 * Encodes a small protobuf message as etcd's gogo-proto code does for proto3: the fields in the
 * order given, zero and empty ones left out.
 */
export function encodeFields(fields: readonly Field[]): Buffer {
  let size = 0;
  for (const [, value] of fields) {
    if (typeof value === 'bigint') size += value === 0n ? 0 : 1 + varint64Length(value);
    else size += value.length === 0 ? 0 : 1 + varintLength(value.length) + value.length;
  }
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [tag, value] of fields) {
    if (typeof value === 'bigint') {
      if (value === 0n) continue;
      out[at++] = tag;
      at = writeVarint64(out, at, value);
    } else if (value.length > 0) {
      out[at++] = tag;
      at = writeVarint(out, at, value.length);
      at += value.copy(out, at);
    }
  }
  return out;
}
