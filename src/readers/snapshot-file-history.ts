import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { BackendView } from '../wire/backend.js';
import { type LogOptions, type LogPiece, readLog } from './snapshot-file-log.js';

/** The log itself: each record a revision key and the `mvccpb.KeyValue` that it is stored with. */
export async function* historyOf(backend: BackendView, log: LogOptions, run: RunContext): AsyncGenerator<RecordBatch> {
  for await (const piece of readLog(backend, log, run)) yield packed(piece);
}

/** A copy of the piece's records, without what lies between them. */
function packed({ bytes, count, starts, ends }: LogPiece): RecordBatch {
  let size = 0;
  for (let i = 0; i < count; i++) size += (ends[i] as number) - (starts[i] as number);
  const batch = { bytes: Buffer.allocUnsafeSlow(size), starts: new Uint32Array(count), ends: new Uint32Array(count), count };
  let at = 0;
  for (let i = 0; i < count; i++) {
    batch.starts[i] = at;
    at += bytes.copy(batch.bytes, at, starts[i], ends[i]);
    batch.ends[i] = at;
  }
  return batch;
}
