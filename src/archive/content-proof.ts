import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { parseAuth } from './auth.js';
import { MANIFEST_ENTRY } from './format.js';
import { entryPlace } from './frame.js';
import type { ArchiveHeader } from './header.js';
import { LeaseDigest, leasesIn } from './leases.js';
import { type ArchiveManifest, isSegment, type ManifestEntry, type SegmentEntry } from './manifest.js';
import { RecordWalk } from './walk.js';

/** Holds what entries say, in their order, to what the manifest says of them. */
export class ContentProver {
  readonly #bytes: ByteSource;
  readonly #manifest: ArchiveManifest;
  readonly #run: RunContext;
  readonly #walk: RecordWalk;
  readonly #leases = new LeaseDigest();
  #lastLease: bigint | undefined;
  #rawBytes = 0;

  constructor(bytes: ByteSource, header: ArchiveHeader, manifest: ArchiveManifest, run: RunContext) {
    this.#bytes = bytes;
    this.#manifest = manifest;
    this.#run = run;
    this.#walk = new RecordWalk(header.order);
  }

  /**
   * Takes the next entry.
   *
   * @param content of auth.json; not looked at otherwise
   * @param batch of a segment or leases entry
   * @throws FerryError `damaged`
   */
  take(entry: ManifestEntry, content: Buffer | undefined, batch: RecordBatch | undefined): void {
    const where = entryPlace(this.#bytes, entry);
    if (entry.kind === 'auth' && content !== undefined) parseAuth(content, where);
    if (batch === undefined) return;
    if (isSegment(entry)) this.#segment(entry, batch, where);
    else this.#takeLeases(batch, where);
  }

  /**
   * To be called after the last entry.
   *
   * @returns the digest of the leases
   * @throws FerryError `damaged` when a content digest does not hold
   */
  finish(): string {
    const found = this.#walk.finish();
    const stated = this.#manifest.digests;
    for (const name of ['records', 'values'] as const) {
      if (found[name] === stated[name]) continue;
      throw new FerryError(
        'damaged',
        `${this.#bytes.name}: ${MANIFEST_ENTRY}: the records do not have the content digest "${name}" it states`,
      );
    }
    return this.#leases.finish();
  }

  #takeLeases(batch: RecordBatch, where: string): void {
    for (const leases of leasesIn(batch, this.#lastLease, where)) {
      for (const lease of leases) this.#leases.add(lease);
      this.#lastLease = leases.at(-1)?.id;
    }
  }

  #segment(entry: SegmentEntry, batch: RecordBatch, where: string): void {
    const { firstKey, lastKey } = this.#records(batch, where);
    if (!firstKey.equals(entry.firstKey) || !lastKey.equals(entry.lastKey)) {
      throw new FerryError('damaged', `${where}: its first and last key are not those the manifest states`);
    }
    this.#rawBytes += entry.rawSize;
    this.#run.progress({
      phase: 'proving',
      records: this.#walk.records,
      bytes: this.#rawBytes,
      totalRecords: this.#manifest.records,
      totalBytes: this.#manifest.rawBytes,
    });
  }

  #records(batch: RecordBatch, where: string): { firstKey: Buffer; lastKey: Buffer } {
    try {
      for (let i = 0; i < batch.count; i++) this.#walk.add(batch.bytes, batch.starts[i] as number, batch.ends[i] as number);
    } catch (cause) {
      if (!(cause instanceof FerryError)) throw cause;
      throw new FerryError(cause.code, `${where}: ${cause.message}`, { cause });
    }
    return this.#walk.leave(batch.bytes, batch.bytes.length);
  }
}
