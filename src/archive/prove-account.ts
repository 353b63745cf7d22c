import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { type ArchiveSummary, summaryOf } from './account.js';
import { ahead } from './ahead.js';
import { type ArchiveLimits, BLOCK, END_ENTRY, isKnownVersion, MANIFEST_ENTRY, TAIL_SIZE, withDefaults } from './format.js';
import { checkHeaderAndPadding, entryPlace, openFrame, readEntry } from './frame.js';
import { checkVersion, parseHeader } from './header.js';
import { type FrameEntry, type ManifestEntry, parseManifest } from './manifest.js';
import { checkAgreement, checkHeaderSize } from './open.js';

/** Reads under way at once: each is small, and may go to the other end of the world. */
const IN_FLIGHT = 16;
/** Headers so near to each other are read at once, with what is between them. */
const NEAR = 32 * 1024;
/** The most bytes read at once. */
const LONGEST_READ = 128 * 1024;

/** A tar header, with the padding of the entry before it. */
interface Gap {
  readonly before: FrameEntry | undefined;
  readonly entry: FrameEntry;
  readonly start: number;
  readonly end: number;
}

/**
 * Holds an archive to its own account by small reads: `end`, the manifest, etcdferry.json, and of every
 * entry its tar header and the padding behind it. What the entries hold is not looked at.
 *
 * @returns what the manifest states
 * @throws FerryError `damaged`, with what is wrong and where; `unknown-format` for a format version of the future
 */
export async function proveAccount(bytes: ByteSource, run: RunContext, limits?: ArchiveLimits): Promise<ArchiveSummary> {
  const { maxManifestSize } = withDefaults(limits);
  const { end, manifest: frame, manifestBytes, manifestEntry } = await openFrame(bytes, maxManifestSize);
  const endEntry: FrameEntry = { name: END_ENTRY, offset: bytes.size - TAIL_SIZE + BLOCK, size: BLOCK, sha256: '' };
  const groups = near(gaps([...frame.entries, manifestEntry, endEntry]));
  for await (const _ of ahead(groups, IN_FLIGHT, (group) => checkGaps(bytes, group))) run.signal.throwIfAborted();
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
function gaps(entries: readonly FrameEntry[]): Gap[] {
  return entries.map((entry, i) => {
    const before = entries[i - 1];
    return { before, entry, start: before === undefined ? 0 : before.offset + before.size, end: entry.offset };
  });
}

/** The gaps in groups, each to be read at once. */
function near(all: readonly Gap[]): Gap[][] {
  const groups: Gap[][] = [];
  for (const gap of all) {
    const group = groups.at(-1);
    const [first, last] = [group?.[0], group?.at(-1)];
    const isNear = first !== undefined && last !== undefined && gap.start - last.end <= NEAR && gap.end - first.start <= LONGEST_READ;
    if (isNear) group?.push(gap);
    else groups.push([gap]);
  }
  return groups;
}

async function checkGaps(bytes: ByteSource, group: readonly Gap[]): Promise<void> {
  const [start, end] = [group[0]?.start ?? 0, group.at(-1)?.end ?? 0];
  const read = await bytes.read(start, end - start);
  const part: ByteSource = {
    name: bytes.name,
    size: bytes.size,
    read: async (offset, length) => read.subarray(offset - start, offset - start + length),
    close: async () => {},
  };
  for (const { before, entry } of group) await checkHeaderAndPadding(part, before, entry);
}
