import { FerryError } from '../errors.js';
import type { AuthData } from '../model/auth.js';
import type { RecordBatch } from '../model/batch.js';
import type { ByteSource } from '../model/bytes.js';
import type { Lease } from '../model/lease.js';
import { type ArchiveSummary, summaryOf } from './account.js';
import { ahead } from './ahead.js';
import { parseAuth } from './auth.js';
import { checkSizes, unpackRun } from './content.js';
import { AUTH_BOUND } from './format.js';
import { entryPlace, readEntry } from './frame.js';
import type { ArchiveHeader } from './header.js';
import { leasesIn } from './leases.js';
import type { ArchiveManifest, ManifestEntry, SegmentEntry } from './manifest.js';
import { compareKeys } from './order.js';

/** Segments being read and decompressed at once. */
const READ_AHEAD = 3;

/** Reads an archive's content by its manifest, which is believed; `proveArchive` says whether rightly. */
export class ArchiveReader {
  readonly header: ArchiveHeader;
  readonly manifest: ArchiveManifest;
  /** Totals as the manifest states them. */
  readonly account: ArchiveSummary;
  readonly #bytes: ByteSource;
  readonly #maxRecordSize: number;

  constructor(bytes: ByteSource, header: ArchiveHeader, manifest: ArchiveManifest, maxRecordSize: number) {
    this.#bytes = bytes;
    this.header = header;
    this.manifest = manifest;
    this.account = summaryOf(header, manifest, bytes.size);
    this.#maxRecordSize = maxRecordSize;
  }

  /** Every lease, by id; may be read any number of times. @throws FerryError `damaged` */
  async *leases(): AsyncGenerator<readonly Lease[], void, undefined> {
    let last: bigint | undefined;
    for (const entry of this.manifest.entries) {
      if (entry.kind !== 'leases') continue;
      for (const leases of leasesIn(await this.#unpack(entry), last, entryPlace(this.#bytes, entry))) {
        last = leases.at(-1)?.id;
        yield leases;
      }
    }
  }

  /** Users and roles; undefined when the archive has none. @throws FerryError `damaged` */
  async auth(): Promise<AuthData | undefined> {
    const entry = this.manifest.entries.find(({ kind }) => kind === 'auth');
    if (entry === undefined) return undefined;
    checkAuthSize(entry, entryPlace(this.#bytes, entry));
    return parseAuth(await readEntry(this.#bytes, entry), entryPlace(this.#bytes, entry));
  }

  /**
   * All records, a segment a batch, in the archive's order; may be read any number of times. Reads
   * ahead, and decompresses several segments at once on the thread pool.
   *
   * @param segments indices of the segments wanted; all by default
   * @throws FerryError `damaged` when a segment does not have its SHA-256, size or count
   */
  records(segments: Iterable<number> = this.manifest.segments.keys()): AsyncGenerator<RecordBatch, void, undefined> {
    return ahead(segments, READ_AHEAD, (index) => this.readSegment(index));
  }

  /** The records of one segment. @throws FerryError `damaged`; RangeError when there is no such segment */
  readSegment(index: number): Promise<RecordBatch> {
    const entry = this.manifest.segments[index];
    if (entry === undefined) throw new RangeError(`segment ${index} of ${this.manifest.segments.length}`);
    return this.#unpack(entry);
  }

  /**
   * The segments that can hold a key of the range, by their first and last keys. In an archive of
   * order `revision` keys are spread over all segments.
   *
   * @param end first key no longer wanted, in the archive's order; undefined for no end
   */
  segmentsInRange(start: Buffer, end: Buffer | undefined): number[] {
    const { order } = this.header;
    return this.#segmentsWhere(
      ({ firstKey, lastKey }) => compareKeys(order, lastKey, start) >= 0 && (end === undefined || compareKeys(order, firstKey, end) < 0),
    );
  }

  /** The segments that can hold a key that begins with one of the prefixes. */
  segmentsWithPrefix(prefixes: readonly Buffer[]): number[] {
    const { order } = this.header;
    return this.#segmentsWhere(({ firstKey, lastKey }) =>
      prefixes.some(
        (prefix) =>
          compareKeys(order, lastKey, prefix) >= 0 &&
          (compareKeys(order, firstKey, prefix) <= 0 || firstKey.subarray(0, prefix.length).equals(prefix)),
      ),
    );
  }

  /** The segments that can hold one of the keys themselves. */
  segmentsWithKeys(keys: readonly Buffer[]): number[] {
    const { order } = this.header;
    return this.#segmentsWhere(({ firstKey, lastKey }) =>
      keys.some((key) => compareKeys(order, firstKey, key) <= 0 && compareKeys(order, lastKey, key) >= 0),
    );
  }

  #segmentsWhere(wanted: (entry: SegmentEntry) => boolean): number[] {
    const all = [...this.manifest.segments.keys()];
    if (this.header.order === 'revision') return all;
    return all.filter((index) => wanted(this.manifest.segments[index] as SegmentEntry));
  }

  async #unpack(entry: ManifestEntry): Promise<RecordBatch> {
    const where = entryPlace(this.#bytes, entry);
    checkSizes(entry, this.#maxRecordSize, where);
    return unpackRun(await readEntry(this.#bytes, entry), entry, this.header.compress, this.#maxRecordSize, where);
  }
}

/** @throws FerryError `damaged` when it is larger than any users and roles can be */
export function checkAuthSize(entry: ManifestEntry, where: string): void {
  if (entry.size > AUTH_BOUND) throw new FerryError('damaged', `${where}: ${entry.size} bytes, more than ${AUTH_BOUND}`);
}
