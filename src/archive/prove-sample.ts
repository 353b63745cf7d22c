import type { RecordBatch } from '../model/batch.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import type { ArchiveSummary } from './account.js';
import { ahead } from './ahead.js';
import { checkSizes, unpackRun } from './content.js';
import { ContentProver } from './content-proof.js';
import { type ArchiveLimits, withDefaults } from './format.js';
import { entryPlace, readWholeEntry } from './frame.js';
import type { ManifestEntry, SegmentEntry } from './manifest.js';
import { proveAccount } from './prove-account.js';
import { checkAuthSize } from './reader.js';

/** Entries being read and decompressed at once. */
const IN_FLIGHT = 4;

/** One of so many equal parts of the segments: those whose number leaves `part` when divided by `of`. */
export interface SamplePart {
  readonly part: number;
  readonly of: number;
}

/** What of an archive was looked into. */
export interface SampledSummary {
  readonly summary: ArchiveSummary;
  /** Segments that were read. */
  readonly segments: number;
  /** Records in them. */
  readonly records: number;
}

/**
 * Proves a part of an archive: its account, its leases and users, and one part of its segments, with all
 * that can be said of each by itself: SHA-256, size, count, first and last key, and the order within it.
 * Gives the records on the way, as `provenRecords` does. The content digests are over all records, so a
 * sample cannot tell them.
 *
 * @throws FerryError as `proveArchive` does, of what is read
 */
export async function* sampledRecords(
  bytes: ByteSource,
  { part, of }: SamplePart,
  run: RunContext,
  limits?: ArchiveLimits,
): AsyncGenerator<RecordBatch, SampledSummary, undefined> {
  const { maxRecordSize } = withDefaults(limits);
  const summary = await proveAccount(bytes, run, limits);
  const { header, manifest } = summary;
  const chosen = manifest.segments.filter((_, index) => index % of === part);
  const others = manifest.entries.filter(({ kind }) => kind === 'leases' || kind === 'auth');
  const content = new ContentProver(bytes, header, manifest, run);
  const read = async (entry: ManifestEntry) => {
    const where = entryPlace(bytes, entry);
    if (entry.kind === 'auth') checkAuthSize(entry, where);
    else checkSizes(entry, maxRecordSize, where);
    const whole = await readWholeEntry(bytes, entry);
    const batch = entry.kind === 'auth' ? undefined : await unpackRun(whole.content, entry, header.compress, maxRecordSize, where);
    return { entry, whole, batch };
  };
  for await (const { entry, whole, batch } of ahead<ManifestEntry | SegmentEntry, Awaited<ReturnType<typeof read>>>(
    [...others, ...chosen],
    IN_FLIGHT,
    read,
  )) {
    run.signal.throwIfAborted();
    content.take(entry, whole.content, batch);
    if (entry.kind === 'segment' && batch !== undefined) yield batch;
  }
  return { summary, segments: chosen.length, records: chosen.reduce((sum, { records }) => sum + records, 0) };
}
