import { createHash } from 'node:crypto';
import type { RecordBatch } from '../model/batch.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { type ArchiveAccount, summaryOf } from './account.js';
import { ahead } from './ahead.js';
import { checkSizes, unpackRun } from './content.js';
import { ContentProver } from './content-proof.js';
import { type ArchiveLimits, isKnownVersion, MANIFEST_ENTRY, TAIL_SIZE, withDefaults } from './format.js';
import { entryPieces, entryPlace, type Frame, openFrame, readWholeEntry, type WholeEntry } from './frame.js';
import { type ArchiveHeader, checkVersion, parseHeader } from './header.js';
import { type ArchiveManifest, type FrameEntry, isSegment, type ManifestEntry, parseManifest } from './manifest.js';
import { checkAgreement, checkHeaderSize } from './open.js';
import { checkAuthSize } from './reader.js';

/** Entries being read and decompressed at once. */
const IN_FLIGHT = 4;
/** Entries that nothing bounds (of other tools, of format versions to come) are read in pieces of this many bytes. */
const PIECE = 4 * 1024 * 1024;

/**
 * Proves an archive: every byte of the file is read and is the one byte that may stand there, every
 * digest, size, count, first and last key and the order of records hold.
 *
 * @returns its account, as `packArchive` gave it
 * @throws FerryError `damaged`, with what is wrong and where; `unknown-format` for a format version
 *   of the future in a frame that is whole; `failed` for a record over the limit
 */
export async function proveArchive(bytes: ByteSource, run: RunContext, limits?: ArchiveLimits): Promise<ArchiveAccount> {
  const proof = provenRecords(bytes, run, limits);
  for (;;) {
    const step = await proof.next();
    if (step.done === true) return step.value;
  }
}

/**
 * As `proveArchive`, and gives the records on the way, a segment a batch, in the archive's order. **They
 * are proven only when the last has been asked for and none was refused**: until then nothing may be
 * made of them that anyone could see. For who must read all of them before the first can be written.
 *
 * @returns the archive's account
 * @throws FerryError as `proveArchive` does
 */
export async function* provenRecords(
  bytes: ByteSource,
  run: RunContext,
  limits?: ArchiveLimits,
): AsyncGenerator<RecordBatch, ArchiveAccount, undefined> {
  const { maxManifestSize, maxRecordSize } = withDefaults(limits);
  const frame = await openFrame(bytes, maxManifestSize);
  const prover = new Prover(bytes, frame, run);
  if (!isKnownVersion(frame.end.formatVersion)) await prover.frameOnly();
  return yield* prover.all(maxRecordSize);
}

/** What reading an entry ahead came to; an entry without a bound is read when its turn comes. */
interface ReadEntry {
  readonly entry: ManifestEntry;
  readonly whole: WholeEntry | undefined;
  readonly batch: RecordBatch | undefined;
}

class Prover {
  readonly #bytes: ByteSource;
  readonly #frame: Frame;
  readonly #run: RunContext;
  readonly #hash = createHash('sha256');

  constructor(bytes: ByteSource, frame: Frame, run: RunContext) {
    this.#bytes = bytes;
    this.#frame = frame;
    this.#run = run;
  }

  /** Proves what holds in every format version. @throws FerryError `unknown-format` if all of it does */
  async frameOnly(): Promise<void> {
    for (const entry of this.#frame.manifest.entries) await this.#inPieces(entry);
    await this.#tail();
    checkVersion(this.#frame.end.formatVersion, this.#bytes.name);
  }

  async *all(maxRecordSize: number): AsyncGenerator<RecordBatch, ArchiveAccount, undefined> {
    const { manifest: frameManifest, manifestBytes } = this.#frame;
    const manifest = parseManifest(frameManifest, manifestBytes, `${this.#bytes.name}: ${MANIFEST_ENTRY}`);
    const first = manifest.entries[0] as ManifestEntry;
    const header = await this.#header(first, manifest);
    const content = new ContentProver(this.#bytes, header, manifest, this.#run);
    const read = (entry: ManifestEntry): Promise<ReadEntry> => this.#read(entry, header, maxRecordSize);
    for await (const { entry, whole, batch } of ahead(manifest.entries.slice(1), IN_FLIGHT, read)) {
      this.#run.signal.throwIfAborted();
      if (whole === undefined) await this.#inPieces(entry);
      else this.#hash.update(whole.all);
      content.take(entry, whole?.content, batch);
      if (batch !== undefined && isSegment(entry)) yield batch;
    }
    const leaseDigest = content.finish();
    await this.#tail();
    return { ...summaryOf(header, manifest, this.#bytes.size), sha256: this.#hash.digest('hex'), leaseDigest };
  }

  async #header(entry: FrameEntry, manifest: ArchiveManifest): Promise<ArchiveHeader> {
    const where = entryPlace(this.#bytes, entry);
    checkHeaderSize(entry, where);
    const { all, content } = await readWholeEntry(this.#bytes, entry);
    this.#hash.update(all);
    const header = parseHeader(content, manifest.formatVersion, where);
    checkAgreement(header, manifest, where);
    return header;
  }

  async #read(entry: ManifestEntry, header: ArchiveHeader, maxRecordSize: number): Promise<ReadEntry> {
    if (entry.kind === 'extra') return { entry, whole: undefined, batch: undefined };
    const where = entryPlace(this.#bytes, entry);
    if (entry.kind === 'auth') {
      checkAuthSize(entry, where);
      return { entry, whole: await readWholeEntry(this.#bytes, entry), batch: undefined };
    }
    checkSizes(entry, maxRecordSize, where);
    const whole = await readWholeEntry(this.#bytes, entry);
    return { entry, whole, batch: await unpackRun(whole.content, entry, header.compress, maxRecordSize, where) };
  }

  async #inPieces(entry: FrameEntry): Promise<void> {
    for await (const piece of entryPieces(this.#bytes, entry, PIECE)) {
      this.#run.signal.throwIfAborted();
      this.#hash.update(piece);
    }
  }

  /** The manifest's tar header and padding; `end` and all behind it were proven when the frame was opened. */
  async #tail(): Promise<void> {
    await this.#inPieces(this.#frame.manifestEntry);
    this.#hash.update(await this.#bytes.read(this.#bytes.size - TAIL_SIZE, TAIL_SIZE));
  }
}
