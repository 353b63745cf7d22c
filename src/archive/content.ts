import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { decompressBytes } from './codec.js';
import { type Compression, FRAMING_BOUND, SEGMENT_BOUND } from './format.js';
import { recordTooLarge, splitFrames } from './framing.js';
import type { ManifestEntry } from './manifest.js';

/** By how much compression may make incompressible content larger: zlib's deflateBound, whatever its settings, is 9/64; and headers. */
const GROWTH = 9 / 64;
const HEADERS = 1024;

/**
 * Holds a segment or leases entry to what a reader is willing to allocate, before anything is.
 *
 * @throws FerryError `damaged` for sizes that cannot be, `failed` for a record over the limit
 */
export function checkSizes(entry: ManifestEntry, maxRecordSize: number, where: string): void {
  if (entry.rawSize > Math.max(SEGMENT_BOUND, maxRecordSize + FRAMING_BOUND)) throw recordTooLarge(where, entry.rawSize, maxRecordSize);
  if (entry.size > entry.rawSize * (1 + GROWTH) + HEADERS) {
    throw new FerryError('damaged', `${where}: ${entry.size} bytes stored for ${entry.rawSize} raw`);
  }
}

/**
 * Decompresses a segment or leases entry and finds its messages.
 *
 * @param stored the entry's content, already held to its SHA-256
 * @throws FerryError `damaged` when sizes or counts are not as the manifest states
 */
export async function unpackRun(
  stored: Buffer,
  entry: ManifestEntry,
  compress: Compression,
  maxRecordSize: number,
  where: string,
): Promise<RecordBatch> {
  const raw = await decompressBytes(stored, entry.rawSize, compress, where);
  return splitFrames(raw, entry.records, maxRecordSize, where);
}
