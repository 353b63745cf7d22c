import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';

/**
 * Splits decompressed bytes into their messages: each a varint length and as many bytes.
 *
 * @param raw stays in use by the batch
 * @param count messages that must be there; each takes a byte at least, so no more than that are believed
 * @param maxRecordSize largest message taken, in bytes
 * @param where entry and offset, for messages
 * @throws FerryError `damaged` when lengths do not add up, or to another count; `failed` for a record over the limit
 */
export function splitFrames(raw: Buffer, count: number, maxRecordSize: number, where: string): RecordBatch {
  const capacity = Math.min(count, raw.length);
  const starts = new Uint32Array(capacity);
  const ends = new Uint32Array(capacity);
  let found = 0;
  for (let at = 0; at < raw.length; found++) {
    const lengthAt = at;
    let length = 0;
    let scale = 1;
    let byte = 0x80;
    while (byte >= 0x80) {
      if (at >= raw.length || at - lengthAt >= 5) throw cut(where, found);
      byte = raw[at++] as number;
      length += (byte & 0x7f) * scale;
      scale *= 128;
    }
    // One way only to write a length: the digests cover it.
    if (byte === 0 && at - lengthAt > 1)
      throw new FerryError('damaged', `${where}: the length of record ${found} is not in its shortest form`);
    if (length > maxRecordSize) throw recordTooLarge(where, length, maxRecordSize);
    if (length > raw.length - at) throw cut(where, found);
    starts[found] = at;
    at += length;
    ends[found] = at;
  }
  if (found !== count) throw new FerryError('damaged', `${where}: holds ${found} records, the manifest states ${count}`);
  return { bytes: raw, starts, ends, count };
}

/** A record that is whole but larger than its reader wants to hold. */
export function recordTooLarge(where: string, size: number, maxRecordSize: number): FerryError {
  return new FerryError('failed', `${where}: a record of ${size} bytes; at most ${maxRecordSize} are read`, {
    hint: 'Raise --max-record-size if the archive is to be trusted.',
  });
}

function cut(where: string, record: number): FerryError {
  return new FerryError('damaged', `${where}: record ${record} runs past the end`);
}
