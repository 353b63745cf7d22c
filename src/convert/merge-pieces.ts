import { batchOf, type RecordBatch, recordAt } from '../model/batch.js';
import { filterBatch } from '../selection/select.js';
import { keyOf } from '../wire/keyvalue.js';
import type { KeyMapping } from './key-mapping.js';
import { mapRecords } from './map-records.js';

const BATCH_BYTES = 4 << 20;
const BATCH_RECORDS = 8192;

/**
 * Renames keys and puts the records in the order of their new names, where a mapping changes it.
 *
 * Renaming keeps the order within each piece of a mapping, so the pieces are read side by side and
 * merged: memory for two batches a piece, and as many readings of the source as there are pieces.
 * Records that get the same key come out one after the other.
 *
 * @param records gives the records from the start, in key order, each time it is called
 */
export async function* mergePieces(records: () => AsyncIterable<RecordBatch>, mapping: KeyMapping): AsyncGenerator<RecordBatch> {
  const pieces = Array.from({ length: mapping.pieces }, (_, piece) => onePiece(records(), mapping, piece));
  try {
    yield* merge(pieces);
  } finally {
    await Promise.all(pieces.map((piece) => piece.return(undefined)));
  }
}

async function* onePiece(batches: AsyncIterable<RecordBatch>, mapping: KeyMapping, piece: number): AsyncGenerator<RecordBatch> {
  for await (const batch of mapRecords(keepPiece(batches, mapping, piece), mapping)) yield batch;
}

async function* keepPiece(batches: AsyncIterable<RecordBatch>, mapping: KeyMapping, piece: number): AsyncGenerator<RecordBatch> {
  for await (const batch of batches) {
    const kept = filterBatch(batch, (key) => mapping.pieceOf(key) === piece);
    if (kept.count > 0) yield kept;
  }
}

interface Head {
  readonly piece: AsyncGenerator<RecordBatch>;
  readonly batch: RecordBatch;
  index: number;
  key: Buffer;
}

async function* merge(pieces: readonly AsyncGenerator<RecordBatch>[]): AsyncGenerator<RecordBatch> {
  let heads = (await Promise.all(pieces.map(nextHead))).filter((head) => head !== undefined);
  let out: Buffer[] = [];
  let bytes = 0;
  while (heads.length > 0) {
    const least = heads.reduce((a, b) => (Buffer.compare(b.key, a.key) < 0 ? b : a));
    const record = recordAt(least.batch, least.index);
    out.push(record);
    bytes += record.length;
    if (bytes >= BATCH_BYTES || out.length >= BATCH_RECORDS) {
      yield batchOf(out);
      out = [];
      bytes = 0;
    }
    if (++least.index < least.batch.count) least.key = keyOf(recordAt(least.batch, least.index));
    else {
      const next = await nextHead(least.piece);
      heads = heads.flatMap((head) => (head !== least ? [head] : next === undefined ? [] : [next]));
    }
  }
  if (out.length > 0) yield batchOf(out);
}

async function nextHead(piece: AsyncGenerator<RecordBatch>): Promise<Head | undefined> {
  const { value, done } = await piece.next();
  if (done || value === undefined) return undefined;
  return { piece, batch: value, index: 0, key: keyOf(recordAt(value, 0)) };
}
