import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { type ArchiveSummary, summaryOf } from './account.js';
import { ahead } from './ahead.js';
import { type ArchiveLimits, BLOCK, END_ENTRY, isKnownVersion, MANIFEST_ENTRY, TAIL_SIZE, withDefaults } from './format.js';
import { checkHeaderAndPadding, entryPlace, openFrame, readEntry } from './frame.js';
import { checkVersion, parseHeader } from './header.js';
import { type FrameEntry, type ManifestEntry, parseManifest } from './manifest.js';
import { checkAgreement, checkHeaderSize } from './open.js';

/** Headers being read at once: each read is small, and may go to the other end of the world. */
const IN_FLIGHT = 8;

/**
 * Holds an archive to its own account by a few small reads: `end`, the manifest, etcdferry.json, and of
 * every entry its tar header and the padding behind it. What the entries hold is not looked at.
 *
 * @returns what the manifest states
 * @throws FerryError `damaged`, with what is wrong and where; `unknown-format` for a format version of the future
 */
export async function proveAccount(bytes: ByteSource, run: RunContext, limits?: ArchiveLimits): Promise<ArchiveSummary> {
  const { maxManifestSize } = withDefaults(limits);
  const { end, manifest: frame, manifestBytes, manifestEntry } = await openFrame(bytes, maxManifestSize);
  const endEntry: FrameEntry = { name: END_ENTRY, offset: bytes.size - TAIL_SIZE + BLOCK, size: BLOCK, sha256: '' };
  for await (const _ of ahead(gaps([...frame.entries, manifestEntry, endEntry]), IN_FLIGHT, (gap) =>
    checkHeaderAndPadding(bytes, ...gap),
  )) {
    run.signal.throwIfAborted();
  }
  if (!isKnownVersion(end.formatVersion)) checkVersion(end.formatVersion, bytes.name);
  const manifest = parseManifest(frame, manifestBytes, `${bytes.name}: ${MANIFEST_ENTRY}`);
  const first = manifest.entries[0] as ManifestEntry;
  const where = entryPlace(bytes, first);
  checkHeaderSize(first, where);
  const header = parseHeader(await readEntry(bytes, first), manifest.formatVersion, where);
  checkAgreement(header, manifest, where);
  return summaryOf(header, manifest, bytes.size);
}

/** Each entry with the one before it, whose padding lies right before its tar header. */
function gaps(entries: readonly FrameEntry[]): (readonly [before: FrameEntry | undefined, entry: FrameEntry])[] {
  return entries.map((entry, i) => [entries[i - 1], entry] as const);
}
