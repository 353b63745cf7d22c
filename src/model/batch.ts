/**
 * A packed run of records: one buffer, and where each record's message lies in it.
 *
 * A v3 record is etcd's own `mvccpb.KeyValue` message, byte for byte as it came from the wire or
 * the bbolt page; a v2 record is the archive's `Node` message; a record of `order: revision` is a
 * 17- or 18-byte revision key followed by a `KeyValue`. Who needs a field decodes it; the hot path
 * only copies.
 */
export interface RecordBatch {
  readonly bytes: Buffer;
  /** Offset in `bytes` of each record's first byte. May be longer than `count`. */
  readonly starts: Uint32Array;
  /** Offset in `bytes` just past each record's last byte. May be longer than `count`. */
  readonly ends: Uint32Array;
  /** Number of records. */
  readonly count: number;
}

/** The bytes of record `index`, sharing the batch's memory. */
export function recordAt(batch: RecordBatch, index: number): Buffer {
  return batch.bytes.subarray(batch.starts[index] as number, batch.ends[index] as number);
}

/** Sum of the lengths of all messages in the batch, in bytes. */
export function batchBytes(batch: RecordBatch): number {
  let total = 0;
  for (let i = 0; i < batch.count; i++) total += (batch.ends[i] as number) - (batch.starts[i] as number);
  return total;
}

/** The records of a batch that `isKept`, sharing its memory; the batch itself when all are. */
export function keepRecords(batch: RecordBatch, isKept: (bytes: Buffer, start: number, end: number) => boolean): RecordBatch {
  const { bytes } = batch;
  const starts = new Uint32Array(batch.count);
  const ends = new Uint32Array(batch.count);
  let count = 0;
  for (let i = 0; i < batch.count; i++) {
    const start = batch.starts[i] as number;
    const end = batch.ends[i] as number;
    if (!isKept(bytes, start, end)) continue;
    starts[count] = start;
    ends[count++] = end;
  }
  return count === batch.count ? batch : { bytes, starts, ends, count };
}

/** Packs messages into a batch of their own memory; for small runs and for tests. */
export function batchOf(records: readonly Uint8Array[]): RecordBatch {
  const starts = new Uint32Array(records.length);
  const ends = new Uint32Array(records.length);
  let at = 0;
  records.forEach((record, i) => {
    starts[i] = at;
    at += record.length;
    ends[i] = at;
  });
  return { bytes: Buffer.concat(records), starts, ends, count: records.length };
}
