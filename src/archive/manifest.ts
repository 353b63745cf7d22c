import { FerryError } from '../errors.js';
import {
  AUTH_ENTRY,
  type Compression,
  FORMAT_VERSION,
  HEADER_ENTRY,
  isExtraName,
  leasesName,
  MOST_ENTRIES,
  SEGMENT_BOUND,
  segmentName,
} from './format.js';
import { checkVersion } from './header.js';
import {
  asArray,
  asCount,
  asObject,
  asSha256,
  asText,
  checkCanonicalText,
  type JsonObject,
  keyFromJson,
  keyToJson,
  parseJson,
} from './json.js';

/** An entry as every format version lists it: enough to find it and to prove its bytes. */
export interface FrameEntry {
  readonly name: string;
  /** Of the entry's content in the archive, in bytes; its tar header is the block before. */
  readonly offset: number;
  /** Of the content as stored, in bytes. */
  readonly size: number;
  /** Of the content as stored, in hex. */
  readonly sha256: string;
}

/** An entry as this format version lists it. */
export interface ManifestEntry extends FrameEntry {
  readonly kind: 'header' | 'leases' | 'auth' | 'segment' | 'extra';
  /** Of the content when decompressed, in bytes; `size` where it is not compressed. */
  readonly rawSize: number;
  /** Records in a segment, leases in a leases entry; 0 for others. */
  readonly records: number;
}

/** A segment, with the first and last of its keys, in the order of records. */
export interface SegmentEntry extends ManifestEntry {
  readonly kind: 'segment';
  /** Key of a KeyValue, path of a Node, or revision key, by the archive's order. */
  readonly firstKey: Buffer;
  readonly lastKey: Buffer;
}

export interface ContentDigests {
  /** Over all bytes of all records, in hex: equal means unchanged. */
  readonly records: string;
  /** Over keys and values only, in hex: equal after a restore. */
  readonly values: string;
}

/** `manifest.json`: every entry before it, and what they add up to. */
export interface ArchiveManifest {
  readonly formatVersion: number;
  readonly entries: readonly ManifestEntry[];
  readonly segments: readonly SegmentEntry[];
  readonly records: number;
  /** Of all segments, decompressed, in bytes. */
  readonly rawBytes: number;
  readonly leases: number;
  readonly digests: ContentDigests;
}

/** What of a manifest may be read in any format version. */
export interface FrameManifest {
  readonly formatVersion: number;
  readonly entries: readonly FrameEntry[];
  /** The rest of the document, still to be checked. */
  readonly json: JsonObject;
}

/** Adds up entries in the order they were written. */
export function manifestOf(entries: readonly ManifestEntry[], digests: ContentDigests, formatVersion = FORMAT_VERSION): ArchiveManifest {
  const segments = entries.filter(isSegment);
  return {
    formatVersion,
    entries,
    segments,
    records: sum(segments, (entry) => entry.records),
    rawBytes: sum(segments, (entry) => entry.rawSize),
    leases: sum(entries, (entry) => (entry.kind === 'leases' ? entry.records : 0)),
    digests,
  };
}

/** True for an entry that holds records. */
export function isSegment(entry: ManifestEntry): entry is SegmentEntry {
  return entry.kind === 'segment';
}

/** Writes `manifest.json`: fields in a fixed order, an entry a line. */
export function encodeManifest(manifest: ArchiveManifest): Buffer {
  return Buffer.from([...manifestText(manifest)].join(''));
}

/** The text of `manifest.json`, an entry at a time. */
function* manifestText(manifest: ArchiveManifest): Generator<string> {
  const { records, rawBytes, leases, digests } = manifest;
  const totals = JSON.stringify({ records, rawBytes, leases });
  const sums = JSON.stringify({ records: digests.records, values: digests.values });
  yield `{"formatVersion":${manifest.formatVersion},"totals":${totals},"digests":${sums},"entries":[\n`;
  let separator = '';
  for (const entry of manifest.entries) {
    yield separator + entryLine(entry);
    separator = ',\n';
  }
  yield '\n]}\n';
}

function entryLine(entry: ManifestEntry): string {
  const { name, offset, size, rawSize, sha256, records } = entry;
  const base = { name, offset, size, rawSize, sha256 };
  if (entry.kind === 'leases') return JSON.stringify({ ...base, leases: records });
  if (!isSegment(entry)) return JSON.stringify(base);
  return JSON.stringify({ ...base, records, ...keyToJson('firstKey', entry.firstKey), ...keyToJson('lastKey', entry.lastKey) });
}

/**
 * Reads of `manifest.json` what stands in it in every format version.
 *
 * @throws FerryError `damaged` when that does not hold, `failed` for more than MOST_ENTRIES
 */
export function parseFrameManifest(bytes: Buffer, where: string): FrameManifest {
  const json = parseJson(bytes, where);
  const values = asArray(json.entries, `${where}: entries`);
  if (values.length > MOST_ENTRIES) {
    throw new FerryError('failed', `${where}: names ${values.length} entries; at most ${MOST_ENTRIES} are read`);
  }
  const entries = values.map((value, i) => {
    const at = `${where}: entries[${i}]`;
    const entry = asObject(value, at);
    return {
      name: asText(entry.name, `${at}.name`),
      offset: asCount(entry.offset, `${at}.offset`),
      size: asCount(entry.size, `${at}.size`),
      sha256: asSha256(entry.sha256, `${at}.sha256`),
    };
  });
  if (entries[0]?.name !== HEADER_ENTRY) throw new FerryError('damaged', `${where}: its first entry is not ${HEADER_ENTRY}`);
  return { formatVersion: asCount(json.formatVersion, `${where}: formatVersion`), entries, json };
}

/**
 * Reads the rest of a manifest of a format version this release knows.
 *
 * @param bytes the same bytes that `frame` was read from
 * @throws FerryError `unknown-format` for another version, `damaged` when totals, order of entries or any field is not as it must be
 */
export function parseManifest(frame: FrameManifest, bytes: Buffer, where: string): ArchiveManifest {
  checkVersion(frame.formatVersion, where);
  const compress = compressionOf(frame.entries);
  const naming = new EntryNames(compress);
  const values = asArray(frame.json.entries, `${where}: entries`);
  const entries = frame.entries.map((entry, i) => {
    const at = `${where}: ${entry.name}`;
    return readEntry(entry, naming.kindOf(entry.name, where), asObject(values[i], at), at);
  });
  const digests = asObject(frame.json.digests, `${where}: digests`);
  const sums = {
    records: asSha256(digests.records, `${where}: digests.records`),
    values: asSha256(digests.values, `${where}: digests.values`),
  };
  const manifest = manifestOf(entries, sums, frame.formatVersion);
  // Wrong totals, too, show here: they are written from the entries.
  checkCanonicalText(bytes, manifestText(manifest), where);
  return manifest;
}

function readEntry(frame: FrameEntry, kind: ManifestEntry['kind'], json: JsonObject, where: string): ManifestEntry | SegmentEntry {
  const rawSize = asCount(json.rawSize, `${where}: rawSize`);
  const base = { ...frame, rawSize, records: 0 };
  if (kind === 'leases') return checkRun({ ...base, kind, records: asCount(json.leases, `${where}: leases`) }, where);
  if (kind !== 'segment') {
    if (rawSize !== frame.size) throw new FerryError('damaged', `${where}: is not compressed, yet its raw size differs`);
    return { ...base, kind };
  }
  const segment = {
    ...base,
    kind,
    records: asCount(json.records, `${where}: records`),
    firstKey: keyFromJson(json, 'firstKey', where),
    lastKey: keyFromJson(json, 'lastKey', where),
  };
  return checkRun(segment, where);
}

/** A run of records is never empty, and over the bound only when it is one record. */
function checkRun<T extends ManifestEntry>(entry: T, where: string): T {
  const { records, rawSize } = entry;
  if (records < 1 || records > rawSize) throw new FerryError('damaged', `${where}: ${records} records in ${rawSize} bytes`);
  if (records > 1 && rawSize > SEGMENT_BOUND) throw new FerryError('damaged', `${where}: ${rawSize} bytes raw, more than ${SEGMENT_BOUND}`);
  return entry;
}

/** Tells what an entry is by its name, and that names come in the one order they may. */
class EntryNames {
  readonly #compress: Compression;
  readonly #seen = new Set<string>();
  #rank = 0;
  #leases = 0;
  #segments = 0;

  constructor(compress: Compression) {
    this.#compress = compress;
  }

  kindOf(name: string, where: string): ManifestEntry['kind'] {
    const kind = this.#kind(name);
    if (kind === undefined) throw new FerryError('damaged', `${where}: "${name}" is not an entry this format has, or not at its place`);
    const rank = RANKS[kind];
    if (rank < this.#rank || this.#seen.has(name)) throw new FerryError('damaged', `${where}: ${name} is not at its place`);
    this.#rank = rank;
    // Numbered names cannot repeat; only the others need remembering.
    if (kind !== 'segment' && kind !== 'leases') this.#seen.add(name);
    return kind;
  }

  #kind(name: string): ManifestEntry['kind'] | undefined {
    if (name === segmentName(this.#segments, this.#compress)) {
      this.#segments++;
      return 'segment';
    }
    if (name === leasesName(this.#leases, this.#compress)) {
      this.#leases++;
      return 'leases';
    }
    if (name === HEADER_ENTRY) return 'header';
    if (name === AUTH_ENTRY) return 'auth';
    return isExtraName(name) ? 'extra' : undefined;
  }
}

const RANKS: Readonly<Record<ManifestEntry['kind'], number>> = { header: 0, leases: 1, auth: 2, segment: 3, extra: 4 };

/** All of an archive is compressed one way; the first name shows which. */
export function compressionOf(entries: readonly FrameEntry[]): Compression {
  const first = entries.find((entry) => entry.name.includes('/'));
  return first?.name.endsWith('.zst') ? 'zstd' : 'gzip';
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  let total = 0;
  for (const item of items) total += value(item);
  return total;
}
