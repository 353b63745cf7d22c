import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { ByteSink } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import { type ArchiveAccount, summaryOf } from './account.js';
import { encodeAuth } from './auth.js';
import { checkCanCompress, compressBytes } from './codec.js';
import { type FramedRun, SegmentCutter } from './cutter.js';
import { EntryWriter } from './entries.js';
import { AUTH_BOUND, AUTH_ENTRY, type Compression, DEFAULT_MAX_RECORD_SIZE, HEADER_ENTRY, leasesName, segmentName } from './format.js';
import { type ArchiveHeader, encodeHeader, headerOf } from './header.js';
import { encodeLease, LeaseDigest } from './leases.js';
import { type FrameEntry, type ManifestEntry, manifestOf, type SegmentEntry } from './manifest.js';
import { RecordWalk } from './walk.js';

export interface PackOptions {
  readonly compress: Compression;
  /** Version of etcdferry, kept in etcdferry.json. */
  readonly toolVersion: string;
  /** Anything else to be kept in etcdferry.json; must survive JSON. */
  readonly options?: Record<string, unknown>;
}

/** Runs being compressed at once. Two keep two cores busy; more even out what they take. */
const IN_FLIGHT = 4;

/**
 * Reads a source to its end and writes it as an archive. Memory is bounded by a few segments,
 * whatever the size of the source. The sink is neither finished nor aborted, and the source not closed.
 *
 * @throws FerryError `usage` when the compression is not available, `damaged` when the source gives
 *   records that are none or are out of order, and whatever source and sink throw
 */
export async function packArchive(source: Source, sink: ByteSink, options: PackOptions, run: RunContext): Promise<ArchiveAccount> {
  checkCanCompress(options.compress);
  const header = headerOf(source.info, options.toolVersion, options.compress, options.options ?? {});
  const packer = new Packer(sink, header, run);
  await packer.header();
  await packer.leases(source);
  await packer.auth(source);
  await packer.records(source);
  return packer.close();
}

/** Names and describes a run once it is compressed and its size is known. */
interface PendingEntry {
  readonly run: FramedRun;
  readonly stored: Promise<Buffer>;
  readonly name: string;
  readonly rest: Omit<ManifestEntry, keyof FrameEntry> | Omit<SegmentEntry, keyof FrameEntry>;
}

class Packer {
  readonly #writer: EntryWriter;
  readonly #header: ArchiveHeader;
  readonly #run: RunContext;
  readonly #cutter = new SegmentCutter();
  readonly #walk: RecordWalk;
  readonly #leases = new LeaseDigest();
  readonly #entries: ManifestEntry[] = [];
  readonly #pending: PendingEntry[] = [];
  #segments = 0;
  #bytes = 0;

  constructor(sink: ByteSink, header: ArchiveHeader, run: RunContext) {
    this.#writer = new EntryWriter(sink);
    this.#header = header;
    this.#run = run;
    this.#walk = new RecordWalk(header.order);
  }

  header(): Promise<void> {
    return this.#plain(HEADER_ENTRY, 'header', encodeHeader(this.#header));
  }

  async leases(source: Source): Promise<void> {
    let index = 0;
    let inRun = 0;
    let last: bigint | undefined;
    const flush = async (): Promise<void> => {
      const run = this.#cutter.take();
      if (run === undefined) return;
      await this.#push(leasesName(index++, this.#header.compress), run, { kind: 'leases', rawSize: run.end, records: inRun });
      inRun = 0;
    };
    for await (const leases of source.leases()) {
      this.#run.signal.throwIfAborted();
      for (const lease of leases) {
        if (last !== undefined && lease.id <= last) throw new FerryError('failed', `lease ${lease.id} does not come after lease ${last}`);
        last = lease.id;
        this.#leases.add(lease);
        const message = encodeLease(lease);
        if (this.#cutter.isFull(message.length)) await flush();
        this.#cutter.add(message, 0, message.length);
        inRun++;
      }
    }
    await flush();
    await this.#drain(0);
  }

  async auth(source: Source): Promise<void> {
    const auth = await source.auth();
    if (auth === undefined) return;
    const content = encodeAuth(auth);
    if (content.length > AUTH_BOUND) {
      throw new FerryError('failed', `${AUTH_ENTRY} would be ${content.length} bytes, and readers take ${AUTH_BOUND}`);
    }
    await this.#plain(AUTH_ENTRY, 'auth', content);
  }

  async records(source: Source): Promise<void> {
    const { estimatedRecords } = source.info;
    for await (const batch of source.records()) {
      this.#run.signal.throwIfAborted();
      await this.#batch(batch);
      const total = estimatedRecords === undefined ? {} : { totalRecords: estimatedRecords };
      this.#run.progress({ phase: 'reading', records: this.#walk.records, bytes: this.#bytes, ...total });
    }
    await this.#flushSegment();
    await this.#drain(0);
  }

  async close(): Promise<ArchiveAccount> {
    const manifest = manifestOf(this.#entries, this.#walk.finish());
    const sha256 = await this.#writer.close(manifest);
    return { ...summaryOf(this.#header, manifest, this.#writer.size), sha256, leaseDigest: this.#leases.finish() };
  }

  async #batch(batch: RecordBatch): Promise<void> {
    for (let i = 0; i < batch.count; i++) {
      const start = batch.starts[i] as number;
      const end = batch.ends[i] as number;
      if (this.#cutter.isFull(end - start)) await this.#flushSegment();
      if (end - start > DEFAULT_MAX_RECORD_SIZE) this.#warnOfSize(end - start);
      const copy = this.#cutter.add(batch.bytes, start, end);
      this.#walk.add(copy.bytes, copy.start, copy.end);
      this.#bytes += end - start;
    }
  }

  async #flushSegment(): Promise<void> {
    const run = this.#cutter.take();
    if (run === undefined) return;
    const { firstKey, lastKey, records } = this.#walk.leave(run.bytes, run.end);
    const name = segmentName(this.#segments++, this.#header.compress);
    await this.#push(name, run, { kind: 'segment', rawSize: run.end, records, firstKey, lastKey });
  }

  async #push(name: string, run: FramedRun, rest: PendingEntry['rest']): Promise<void> {
    const stored = compressBytes(run.bytes.subarray(0, run.end), this.#header.compress);
    // Should another step fail first, this one's failure is no news.
    stored.catch(() => {});
    this.#pending.push({ run, stored, name, rest });
    await this.#drain(IN_FLIGHT - 1);
  }

  /** Writes what is compressed, in order, until no more than `left` are under way. */
  async #drain(left: number): Promise<void> {
    while (this.#pending.length > left) {
      const { run, stored, name, rest } = this.#pending.shift() as PendingEntry;
      const content = await stored;
      this.#run.signal.throwIfAborted();
      this.#cutter.release(run);
      this.#entries.push({ ...(await this.#writer.write(name, content)), ...rest });
    }
  }

  async #plain(name: string, kind: 'header' | 'auth', content: Buffer): Promise<void> {
    const entry = await this.#writer.write(name, content);
    this.#entries.push({ ...entry, kind, rawSize: content.length, records: 0 });
  }

  #warnOfSize(size: number): void {
    this.#run.warn(`record ${this.#walk.records} has ${size} bytes: reading this archive will need --max-record-size`);
  }
}
