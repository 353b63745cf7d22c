import { createHash } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { type ArchiveEnd, parseEnd } from './end.js';
import { sha256 } from './entries.js';
import { BLOCK, END_ENTRY, MANIFEST_ENTRY, TAIL_SIZE } from './format.js';
import { type FrameEntry, type FrameManifest, parseFrameManifest } from './manifest.js';
import { isZero, padded, tarHeader } from './tar.js';

/** The parts of an archive that are the same in every format version. */
export interface Frame {
  readonly end: ArchiveEnd;
  /** `manifest.json` and its place. */
  readonly manifestEntry: FrameEntry;
  readonly manifestBytes: Buffer;
  readonly manifest: FrameManifest;
}

/**
 * Reads `end` and, through it, the manifest; holds both to their digests, and all entries to lie one
 * behind the other without a gap. Tells nothing about the entries' own bytes.
 *
 * @throws FerryError `damaged`, with what is wrong and where; `failed` for a manifest over the limit
 */
export async function openFrame(bytes: ByteSource, maxManifestSize: number): Promise<Frame> {
  const end = await readEnd(bytes);
  const where = `${bytes.name}: ${MANIFEST_ENTRY}`;
  if (end.size > maxManifestSize) {
    throw new FerryError('failed', `${where}: is ${end.size} bytes; at most ${maxManifestSize} are read`);
  }
  const manifestEntry: FrameEntry = { name: MANIFEST_ENTRY, ...end };
  if (end.offset < BLOCK || end.offset + padded(end.size) !== bytes.size - TAIL_SIZE) {
    throw new FerryError('damaged', `${bytes.name}: ${END_ENTRY} puts ${MANIFEST_ENTRY} at ${end.offset}, where it cannot be`);
  }
  const manifestBytes = await readEntry(bytes, manifestEntry);
  const manifest = parseFrameManifest(manifestBytes, where);
  if (manifest.formatVersion !== end.formatVersion) {
    throw new FerryError('damaged', `${where}: format version ${manifest.formatVersion}, but ${END_ENTRY} has ${end.formatVersion}`);
  }
  checkLayout(manifest.entries, manifestEntry, where);
  return { end, manifestEntry, manifestBytes, manifest };
}

async function readEnd(bytes: ByteSource): Promise<ArchiveEnd> {
  if (bytes.size < TAIL_SIZE + 2 * BLOCK || bytes.size % BLOCK !== 0) {
    throw new FerryError('damaged', `${bytes.name}: ${bytes.size} bytes: cut short, or more than an archive`, { hint: CUT_HINT });
  }
  const offset = bytes.size - TAIL_SIZE;
  const tail = await bytes.read(offset, TAIL_SIZE);
  const canonical = await tarHeader(END_ENTRY, BLOCK);
  if (!canonical.equals(tail.subarray(0, BLOCK)) || !isZero(tail, 2 * BLOCK)) {
    const message = `${bytes.name}: the last ${TAIL_SIZE} bytes, from ${offset}, are not the end of an archive: cut short, extended or damaged`;
    throw new FerryError('damaged', message, { hint: CUT_HINT });
  }
  return parseEnd(tail.subarray(BLOCK, 2 * BLOCK), `${bytes.name}: ${END_ENTRY} (at ${offset})`);
}

const CUT_HINT = 'Was it copied whole?';

/** Every byte of the file belongs to exactly one entry: the first begins at 0, each other where the one before it ends. */
function checkLayout(entries: readonly FrameEntry[], manifestEntry: FrameEntry, where: string): void {
  let expected = BLOCK;
  for (const entry of [...entries, manifestEntry]) {
    if (entry.offset !== expected) {
      throw new FerryError('damaged', `${where}: puts ${entry.name} at ${entry.offset}; by the entries before, it is at ${expected}`);
    }
    expected = entry.offset + padded(entry.size) + BLOCK;
  }
}

/** Where an entry lies, for messages. */
export function entryPlace(bytes: ByteSource, entry: FrameEntry): string {
  return `${bytes.name}: ${entry.name} (at ${entry.offset})`;
}

/**
 * Reads an entry's content and holds it to its SHA-256.
 *
 * @throws FerryError `damaged`
 */
export async function readEntry(bytes: ByteSource, entry: FrameEntry): Promise<Buffer> {
  const content = await bytes.read(entry.offset, entry.size);
  checkDigest(bytes, entry, sha256(content));
  return content;
}

/** An entry with its tar header and padding, as they lie in the file. */
export interface WholeEntry {
  /** All of it, for the digest of the file. */
  readonly all: Buffer;
  readonly content: Buffer;
}

/**
 * Reads an entry with all that belongs to it and proves every byte: the tar header is the one that
 * name and size make, the content has its SHA-256, the padding is zero.
 *
 * @throws FerryError `damaged`
 */
export async function readWholeEntry(bytes: ByteSource, entry: FrameEntry): Promise<WholeEntry> {
  const all = await bytes.read(entry.offset - BLOCK, BLOCK + padded(entry.size));
  const content = all.subarray(BLOCK, BLOCK + entry.size);
  checkTarHeader(bytes, entry, all.subarray(0, BLOCK), await headerFor(bytes, entry));
  checkDigest(bytes, entry, sha256(content));
  checkPadding(bytes, entry, all.subarray(BLOCK + entry.size));
  return { all, content };
}

/**
 * As `readWholeEntry`, but piece by piece, for entries of any size.
 *
 * @param pieceSize most bytes read at once
 * @throws FerryError `damaged`; what came before it is then proven no more than what came after
 */
export async function* entryPieces(bytes: ByteSource, entry: FrameEntry, pieceSize: number): AsyncGenerator<Buffer, void, undefined> {
  const header = await bytes.read(entry.offset - BLOCK, BLOCK);
  checkTarHeader(bytes, entry, header, await headerFor(bytes, entry));
  yield header;
  const hash = createHash('sha256');
  const end = entry.offset + entry.size;
  for (let at = entry.offset; at < end; at += pieceSize) {
    const piece = await bytes.read(at, Math.min(pieceSize, end - at));
    hash.update(piece);
    yield piece;
  }
  checkDigest(bytes, entry, hash.digest('hex'));
  const padding = await bytes.read(end, padded(entry.size) - entry.size);
  checkPadding(bytes, entry, padding);
  yield padding;
}

/**
 * Proves the tar header of an entry, and in the same read the padding behind the one before it.
 *
 * @throws FerryError `damaged`
 */
export async function checkHeaderAndPadding(bytes: ByteSource, before: FrameEntry | undefined, entry: FrameEntry): Promise<void> {
  const start = before === undefined ? 0 : before.offset + before.size;
  const gap = await bytes.read(start, entry.offset - start);
  checkTarHeader(bytes, entry, gap.subarray(gap.length - BLOCK), await headerFor(bytes, entry));
  if (before !== undefined) checkPadding(bytes, before, gap.subarray(0, gap.length - BLOCK));
}

async function headerFor(bytes: ByteSource, entry: FrameEntry): Promise<Buffer> {
  try {
    return await tarHeader(entry.name, entry.size);
  } catch (cause) {
    throw new FerryError('damaged', `${bytes.name}: ${MANIFEST_ENTRY}: names an entry that cannot be`, { cause });
  }
}

function checkTarHeader(bytes: ByteSource, entry: FrameEntry, found: Buffer, canonical: Buffer): void {
  if (found.equals(canonical)) return;
  throw new FerryError('damaged', `${entryPlace(bytes, entry)}: its tar header, at ${entry.offset - BLOCK}, is not as it must be`);
}

function checkDigest(bytes: ByteSource, entry: FrameEntry, found: string): void {
  if (found === entry.sha256) return;
  throw new FerryError('damaged', `${entryPlace(bytes, entry)}: its ${entry.size} bytes do not have the SHA-256 they had when written`);
}

function checkPadding(bytes: ByteSource, entry: FrameEntry, padding: Buffer): void {
  if (isZero(padding)) return;
  throw new FerryError('damaged', `${entryPlace(bytes, entry)}: the padding behind it, at ${entry.offset + entry.size}, is not zero`);
}
