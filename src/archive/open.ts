import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { type ArchiveLimits, type Compression, HEADER_BOUND, withDefaults } from './format.js';
import { entryPlace, openFrame, readEntry } from './frame.js';
import { type ArchiveHeader, checkVersion, parseHeader } from './header.js';
import { type ArchiveManifest, type FrameEntry, parseManifest } from './manifest.js';
import { ArchiveReader } from './reader.js';

/**
 * Opens an archive by a few small reads: `end`, the manifest, etcdferry.json. Nothing else is
 * proven yet. The bytes stay the caller's to close, when the reader is no longer used.
 *
 * @throws FerryError `damaged` when it is no archive or not whole, `unknown-format` for a format version of the future
 */
export async function openArchive(bytes: ByteSource, limits?: ArchiveLimits): Promise<ArchiveReader> {
  const { maxManifestSize, maxRecordSize } = withDefaults(limits);
  const frame = await openFrame(bytes, maxManifestSize);
  checkVersion(frame.end.formatVersion, bytes.name);
  const manifest = parseManifest(frame.manifest, frame.manifestBytes, `${bytes.name}: manifest.json`);
  const entry = manifest.entries[0] as FrameEntry;
  checkHeaderSize(entry, entryPlace(bytes, entry));
  const header = parseHeader(await readEntry(bytes, entry), manifest.formatVersion, entryPlace(bytes, entry));
  checkAgreement(header, manifest, entryPlace(bytes, entry));
  return new ArchiveReader(bytes, header, manifest, maxRecordSize);
}

/** @throws FerryError `damaged` when etcdferry.json is larger than it can be */
export function checkHeaderSize(entry: FrameEntry, where: string): void {
  if (entry.size > HEADER_BOUND) throw new FerryError('damaged', `${where}: ${entry.size} bytes, more than ${HEADER_BOUND}`);
}

/** @throws FerryError `damaged` when etcdferry.json and the names in the manifest tell of two ways of compression */
export function checkAgreement(header: ArchiveHeader, manifest: ArchiveManifest, where: string): void {
  const used: Compression = manifest.entries.some(({ name }) => name.endsWith('.pb.zst')) ? 'zstd' : 'gzip';
  const compressed = manifest.entries.some(({ kind }) => kind === 'segment' || kind === 'leases');
  if (compressed && used !== header.compress)
    throw new FerryError('damaged', `${where}: compress is ${header.compress}, but entries are ${used}`);
}
