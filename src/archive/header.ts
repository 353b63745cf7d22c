import { createHash } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { Note } from '../model/note.js';
import type { Api, KeySelection, ObjectSelection, RecordOrder, SourceInfo, SourceKind } from '../model/source.js';
import { type Compression, FORMAT_VERSION, HEADER_ENTRY, isKnownVersion, OLDEST_VERSION } from './format.js';
import {
  asCount,
  asId,
  asInteger,
  asObject,
  asOneOf,
  asText,
  checkCanonical,
  given,
  idToJson,
  integerToJson,
  type JsonObject,
  parseJson,
} from './json.js';
import { parseSelection, selectionToJson } from './selection.js';

const FORMAT = 'etcdferry-archive';

/** `etcdferry.json`: what the archive was made from, by what, and how. */
export interface ArchiveHeader {
  readonly formatVersion: number;
  /** Version of the etcdferry that wrote it. */
  readonly toolVersion: string;
  readonly api: Api;
  readonly order: RecordOrder;
  /** v3: the revision all records were read at. v2: the X-Etcd-Index. */
  readonly revision: bigint;
  readonly compactRevision?: bigint;
  readonly scheduledCompactRevision?: bigint;
  /** When the source was pinned, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly source: ArchiveOrigin;
  readonly selection: KeySelection;
  /** As in `SourceInfo`. */
  readonly objects?: readonly ObjectSelection[];
  readonly compress: Compression;
  /** Whatever the job wanted kept about how it was run. */
  readonly options: JsonObject;
}

/** Where an archive's records came from. */
export interface ArchiveOrigin {
  readonly kind: SourceKind;
  /** No credentials in it. */
  readonly location: string;
  readonly clusterId?: bigint;
  readonly memberId?: bigint;
  readonly serverVersion?: string;
}

/** The header of an archive made from a source. */
export function headerOf(info: SourceInfo, toolVersion: string, compress: Compression, options: JsonObject): ArchiveHeader {
  return {
    formatVersion: FORMAT_VERSION,
    toolVersion,
    api: info.api,
    order: info.order,
    revision: info.revision,
    ...given('compactRevision', info.compactRevision),
    ...given('scheduledCompactRevision', info.scheduledCompactRevision),
    startedAt: info.startedAt,
    source: {
      kind: info.kind,
      location: info.location,
      ...given('clusterId', info.clusterId),
      ...given('memberId', info.memberId),
      ...given('serverVersion', info.serverVersion),
    },
    selection: info.selection,
    ...given('objects', info.objects),
    compress,
    // As it will be read: functions and undefined go, dates become text.
    options: asObject(JSON.parse(JSON.stringify(withOrigin(options, info))), 'options'),
  };
}

function withOrigin(
  options: JsonObject,
  { kind, isSelectionKnown = false, hiddenTold: hidden = [], lastingNotes: notes = [] }: SourceInfo,
): JsonObject {
  return {
    ...options,
    ...(kind !== 'live' && isSelectionKnown ? { isSelectionKnown } : {}),
    // Of a data dir the kind says it.
    ...(kind === 'data-dir' || hidden.length === 0 ? {} : { hiddenTold: hidden === 'all' ? hidden : hidden.map(toBase64) }),
    ...(notes.length === 0 ? {} : { notes: notes.map(({ lossy: _, ...note }) => note) }),
  };
}

/** Whether an archive's records are all that there was of its selection: a cluster told so, or what was made of one. */
export function isSelectionKnown({ source, options }: ArchiveHeader): boolean {
  return source.kind === 'live' || options.isSelectionKnown === true;
}

/** The hidden nodes that an archive of a v2 tree would hold if there were any, as in `SourceInfo`. */
export function hiddenTold({ api, source, options }: ArchiveHeader): SourceInfo['hiddenTold'] {
  const { hiddenTold: told } = options;
  if (api !== 'v2') return undefined;
  if (source.kind === 'data-dir' || told === 'all') return 'all';
  return Array.isArray(told) ? told.filter((one) => typeof one === 'string').map((text) => Buffer.from(text, 'base64')) : undefined;
}

function toBase64(bytes: Buffer): string {
  return bytes.toString('base64');
}

/** The notes that an archive keeps of how its records were read; what is not one of ours is passed over. */
export function lastingNotes({ options: { notes } }: Pick<ArchiveHeader, 'options'>): Note[] {
  return Array.isArray(notes) ? notes.flatMap(noteFromJson) : [];
}

function noteFromJson(json: unknown): Note[] {
  if (typeof json !== 'object' || json === null) return [];
  const { code, message, count = 1, examples = [] } = json as JsonObject;
  if (typeof code !== 'string' || typeof message !== 'string' || !Number.isSafeInteger(count) || !Array.isArray(examples)) return [];
  return [{ code, message, count: count as number, examples: examples.filter((one) => typeof one === 'string'), lossy: false }];
}

/** Writes `etcdferry.json`: fields in a fixed order, two spaces a level, a line feed last. */
export function encodeHeader(header: ArchiveHeader): Buffer {
  const { source, selection, objects } = header;
  const json = {
    format: FORMAT,
    formatVersion: header.formatVersion,
    toolVersion: header.toolVersion,
    api: header.api,
    order: header.order,
    // An index in v2's words, a revision in v3's.
    [positionName(header.api)]: integerToJson(header.revision),
    ...given('compactRevision', optionally(header.compactRevision, integerToJson)),
    ...given('scheduledCompactRevision', optionally(header.scheduledCompactRevision, integerToJson)),
    startedAt: new Date(header.startedAt).toISOString(),
    source: {
      kind: source.kind,
      location: source.location,
      ...given('clusterId', optionally(source.clusterId, idToJson)),
      ...given('memberId', optionally(source.memberId, idToJson)),
      ...given('serverVersion', source.serverVersion),
    },
    selection: selectionToJson({ selection, ...given('objects', objects) }),
    compress: header.compress,
    options: header.options,
  };
  return Buffer.from(`${JSON.stringify(json, null, 2)}\n`);
}

/** What tells of one run alone, and not of what an archive can speak for. */
const OF_ONE_RUN: ReadonlySet<string> = new Set([
  ...['formatVersion', 'toolVersion', 'revision', 'index', 'compactRevision', 'scheduledCompactRevision'],
  ...['startedAt', 'source', 'compress', 'options'],
]);

/**
 * A digest of what an archive can speak for: which keys were chosen, in which order, what was not checked, and whatever else
 * a header says that is not of one run alone.
 *
 * @returns SHA-256 in hex
 */
export function scopeDigest(header: ArchiveHeader): string {
  const json = asObject(JSON.parse(encodeHeader(header).toString()), HEADER_ENTRY);
  const chosen = Object.entries(json).filter(([name]) => !OF_ONE_RUN.has(name));
  const scope = { ...Object.fromEntries(chosen), notes: lastingNotes(header).map(({ code }) => code) };
  return createHash('sha256').update(JSON.stringify(scope)).digest('hex');
}

/**
 * Reads the `etcdferry.json` of an archive of a format version this release knows.
 *
 * @param expected the manifest's format version
 * @param where the archive's name, for messages
 * @throws FerryError `damaged`
 */
export function parseHeader(bytes: Buffer, expected: number, where: string): ArchiveHeader {
  const json = parseJson(bytes, where);
  if (json.format !== FORMAT) throw new FerryError('damaged', `${where}: format is not ${FORMAT}`);
  const version = asCount(json.formatVersion, `${where}: formatVersion`);
  if (version !== expected) throw new FerryError('damaged', `${where}: format version ${version}, but the manifest has ${expected}`);
  const api = asOneOf(json.api, ['v2', 'v3'], `${where}: api`);
  const header: ArchiveHeader = {
    formatVersion: version,
    toolVersion: asText(json.toolVersion, `${where}: toolVersion`),
    api,
    order: asOneOf(json.order, api === 'v2' ? ['tree'] : ['key', 'revision'], `${where}: order`),
    revision: asInteger(json[positionName(api)], `${where}: ${positionName(api)}`),
    ...given('compactRevision', optional(json.compactRevision, asInteger, `${where}: compactRevision`)),
    ...given('scheduledCompactRevision', optional(json.scheduledCompactRevision, asInteger, `${where}: scheduledCompactRevision`)),
    startedAt: parseTime(json.startedAt, `${where}: startedAt`),
    source: parseOrigin(asObject(json.source, `${where}: source`), `${where}: source`),
    ...parseSelection(asObject(json.selection, `${where}: selection`), `${where}: selection`),
    compress: asOneOf(json.compress, ['gzip', 'zstd'], `${where}: compress`),
    options: asObject(json.options, `${where}: options`),
  };
  checkCanonical(bytes, () => encodeHeader(header), where);
  return header;
}

/** @throws FerryError `unknown-format` for a version that this release does not read */
export function checkVersion(version: number, where: string): void {
  if (isKnownVersion(version)) return;
  const known = `${OLDEST_VERSION} to ${FORMAT_VERSION}`;
  throw new FerryError('unknown-format', `${where}: archive format version ${version}; this release knows ${known}`, {
    hint: 'Read it with the release of etcdferry that wrote it, or a later one.',
  });
}

function parseOrigin(json: JsonObject, where: string): ArchiveOrigin {
  return {
    kind: asOneOf(json.kind, ['live', 'archive', 'snapshot-file', 'data-dir'], `${where}.kind`),
    location: asText(json.location, `${where}.location`),
    ...given('clusterId', optional(json.clusterId, asId, `${where}.clusterId`)),
    ...given('memberId', optional(json.memberId, asId, `${where}.memberId`)),
    ...given('serverVersion', optional(json.serverVersion, asText, `${where}.serverVersion`)),
  };
}

function parseTime(value: unknown, where: string): number {
  const time = Date.parse(asText(value, where));
  if (Number.isNaN(time)) throw new FerryError('damaged', `${where}: is not a time`);
  return time;
}

function positionName(api: Api): 'revision' | 'index' {
  return api === 'v2' ? 'index' : 'revision';
}

function optional<T>(value: unknown, read: (value: unknown, where: string) => T, where: string): T | undefined {
  return value === undefined ? undefined : read(value, where);
}

function optionally<T, U>(value: T | undefined, write: (value: T) => U): U | undefined {
  return value === undefined ? undefined : write(value);
}
