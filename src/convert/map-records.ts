import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { keyOf } from '../wire/keyvalue.js';
import { varintLength, writeVarint } from '../wire/varint.js';
import type { KeyMapping } from './key-mapping.js';

const KEY_TAG = 0x0a;

/**
 * Renames the key of every record; the rest of each message is copied as it is. Works for any
 * record whose field 1 is its key and comes first, as etcd writes it: an `mvccpb.KeyValue`, or the
 * archive's v2 `Node` with its path. The order of records stays; that of their keys may not.
 *
 * @throws FerryError `usage` for a key the mapping cannot take, `damaged` when the key is not first
 */
export function mapRecords(batches: AsyncIterable<RecordBatch>, mapping: KeyMapping): AsyncIterable<RecordBatch> {
  return mapping.identity ? batches : mapEach(batches, mapping);
}

async function* mapEach(batches: AsyncIterable<RecordBatch>, mapping: KeyMapping): AsyncGenerator<RecordBatch> {
  for await (const batch of batches) yield mapBatch(batch, mapping);
}

function mapBatch(batch: RecordBatch, mapping: KeyMapping): RecordBatch {
  const keys: Buffer[] = [];
  const restStarts = new Uint32Array(batch.count);
  let size = 0;
  for (let i = 0; i < batch.count; i++) {
    const start = batch.starts[i] as number;
    const end = batch.ends[i] as number;
    const old = keyOf(batch.bytes, start, end);
    const key = mapping.mapKey(old);
    const rest = old.length === 0 ? start : old.byteOffset - batch.bytes.byteOffset + old.length;
    if (old.length > 0 && batch.bytes[start] !== KEY_TAG) throw new FerryError('damaged', 'a record does not begin with its key');
    keys.push(key);
    restStarts[i] = rest;
    size += encodedLength(key) + end - rest;
  }
  const bytes = Buffer.allocUnsafe(size);
  const starts = new Uint32Array(batch.count);
  const ends = new Uint32Array(batch.count);
  let at = 0;
  for (let i = 0; i < batch.count; i++) {
    const key = keys[i] as Buffer;
    starts[i] = at;
    if (key.length > 0) {
      bytes[at++] = KEY_TAG;
      at = writeVarint(bytes, at, key.length);
      at += key.copy(bytes, at);
    }
    at += batch.bytes.copy(bytes, at, restStarts[i] as number, batch.ends[i] as number);
    ends[i] = at;
  }
  return { bytes, starts, ends, count: batch.count };
}

/** Bytes the key field takes; an empty one is left out. */
function encodedLength(key: Buffer): number {
  return key.length === 0 ? 0 : 1 + varintLength(key.length) + key.length;
}
