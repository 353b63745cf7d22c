import type { RecordBatch } from '../model/batch.js';
import { leaseOf } from './keyvalue.js';

/**
 * The lease ids that v3 records of a batch refer to, one for each record that has one. Most records
 * have none, and are stepped over without making a single object.
 *
 * @throws FerryError `damaged` when a record that seems to have a lease does not parse
 */
export function* leasesIn(batch: RecordBatch): Generator<bigint> {
  for (let i = 0; i < batch.count; i++) {
    const [start, end] = [batch.starts[i] as number, batch.ends[i] as number];
    if (!hasLease(batch.bytes, start, end)) continue;
    const lease = leaseOf(batch.bytes, start, end);
    if (lease !== 0n) yield lease;
  }
}

/** Whether an `mvccpb.KeyValue` has field 6; true also for anything unusual, to be looked at properly. */
function hasLease(bytes: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const tag = bytes[at++] as number;
    if (tag === 0x30 || tag >= 0x80) return true;
    let length = 0;
    let scale = 1;
    let byte: number;
    do {
      byte = bytes[at++] as number;
      length += (byte & 0x7f) * scale;
      scale *= 128;
    } while (byte >= 0x80 && at < end);
    if ((tag & 7) === 2) at += length;
    else if ((tag & 7) !== 0) return true;
  }
  return at !== end;
}
