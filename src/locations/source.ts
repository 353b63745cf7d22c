import { openArchive } from '../archive/open.js';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import { type Api, closing, type KeySelection, type ObjectSelection, type Source } from '../model/source.js';
import { archiveSource } from '../readers/archive.js';
import type { S3Settings } from '../storage/s3-settings.js';
import type { OpenWith } from './age-keys.js';
import { archiveLimits, openArchiveBytes } from './archive.js';
import type { ConnectionSettings } from './connection.js';
import { detect, type Found } from './detect.js';
import { refuseOddDirectory } from './odd-directory.js';
import type { Location } from './parse.js';
import { isRepository } from './repository.js';

/** A source as the user asked for it. What does not apply to the kind of source found is refused. */
export interface SourceRequest {
  readonly location: Location;
  /** Which API of a live cluster or data dir; an archive and a snapshot file know their own. */
  readonly api?: Api;
  readonly connection: ConnectionSettings;
  readonly selection: KeySelection;
  /** Which of Kubernetes' objects are wanted. */
  readonly objects?: ObjectSelection;
  /** That nothing is selected of a source which has something is meant; refused by whoever writes or compares unless given. */
  readonly allowEmpty?: boolean;
  /** Read at this revision instead of the latest. */
  readonly revision?: bigint;
  readonly via?: 'range' | 'snapshot';
  /** Read from a member also that may be behind its cluster, or is corrupt. */
  readonly allowStale?: boolean;
  /** Bytes per second, for a live source. */
  readonly limitRate?: number;
  /** Largest record to accept from an archive, in bytes. */
  readonly maxRecordSize?: number;
  /** Records are asked for once only: a live v2 tree is passed on as it comes, and need not be kept. */
  readonly once?: boolean;
  /** Hidden v2 nodes to read besides, by path. */
  readonly includeHidden?: readonly string[];
  /** Where the WAL of a data dir is, if not in it. */
  readonly walDir?: string;
  /** Also take what stands in a data dir's WAL after the commit index. */
  readonly includeUncommitted?: boolean;
  /** Most memory that replaying a data dir may take, in bytes. */
  readonly maxMemory?: number;
  /** Read a snapshot file that has no SHA-256 at its end, or a wrong one. */
  readonly skipHashCheck?: boolean;
  /** Also holds etcd's own files to what bbolt demands of pages that nobody reads. */
  readonly checkPages?: boolean;
  /** Every revision that a file holds, deletions too. */
  readonly history?: boolean;
  /** What opens an encrypted archive. */
  readonly open?: OpenWith;
  /** What `--name` was given: NAME of a repository's archives, or names of objects, by what the location is. */
  readonly names?: readonly string[];
  /** Of a repository: the newest archive that is not younger, in milliseconds since the Unix epoch. */
  readonly at?: number;
  readonly s3?: S3Settings;
  readonly tmpDir: string;
  /** Where an archive comes from when the location is `-`. */
  readonly stdin: AsyncIterable<Uint8Array>;
}

/**
 * Opens whatever a location names as a source, told by its content.
 *
 * @throws FerryError `not-found`, `usage`, `damaged` or `unknown-format` for what cannot be read, and
 *   whatever the reader throws
 */
export async function openSource(asked: SourceRequest, run: RunContext): Promise<Source> {
  const request = await withNames(asked);
  return withObjects(await openWhole(request, run), request);
}

/** The same request with `--name` taken for what it means here: of a repository's archives, or else of objects. */
export async function withNames(request: SourceRequest): Promise<SourceRequest> {
  const { names, objects, location } = request;
  if (names === undefined || (await isRepository(location))) return request;
  const { names: _, ...rest } = request;
  const selection = objects ?? { kinds: [], excludeKinds: [], namespaces: [], names: [], etcdPrefixes: [] };
  return { ...rest, objects: { ...selection, names: [...selection.names, ...names] } };
}

/**
 * The same source with only the objects the request asks for.
 *
 * @throws FerryError `usage` for a history
 */
export async function withObjects(source: Source, { objects }: Pick<SourceRequest, 'objects'>): Promise<Source> {
  if (objects === undefined) return source;
  try {
    return (await import('./objects.js')).selectObjects(source, objects);
  } catch (thrown) {
    await source.close();
    throw thrown;
  }
}

async function openWhole(request: SourceRequest, run: RunContext): Promise<Source> {
  const { location } = request;
  const found = location.kind === 'path' ? await detect(location.path) : location.kind;
  if (location.kind === 'path' && found === 'directory') await refuseOddDirectory(location.path);
  refuseStrayFlags(request, found);
  // Loaded when needed: what talks to a cluster takes longer to load than an archive to be proven.
  if (location.kind === 'live') return (await import('./live.js')).openLive(request, location.endpoints, run);
  if (location.kind === 'path' && found === 'data-dir') return (await import('./files.js')).openDataDir(request, location.path, run);
  if (location.kind === 'path' && found === 'snapshot-file') return (await import('./files.js')).openSnapshot(request, location.path, run);
  const bytes = await openArchiveBytes(request, run);
  try {
    const source = archiveSource(await openArchive(bytes, archiveLimits(request)), bytes.name, request.selection);
    return closing(source, () => bytes.close());
  } catch (thrown) {
    await bytes.close();
    throw thrown;
  }
}

/** What a location is, once its content was looked at. */
export type FoundKind = Found | 'live' | 'stdio' | 's3';

/** For which kinds of source each flag means something; a flag that would be ignored is a misunderstanding. */
const MEANT_FOR: readonly (readonly [flag: string, field: keyof SourceRequest, kinds: readonly FoundKind[]])[] = [
  ['api', 'api', ['live', 'data-dir']],
  ['revision', 'revision', ['live', 'data-dir', 'snapshot-file']],
  ['via', 'via', ['live']],
  ['allow-stale', 'allowStale', ['live']],
  ['limit-rate', 'limitRate', ['live']],
  ['include-hidden', 'includeHidden', ['live']],
  ['wal-dir', 'walDir', ['data-dir']],
  ['include-uncommitted', 'includeUncommitted', ['data-dir']],
  ['max-memory', 'maxMemory', ['data-dir']],
  ['skip-hash-check', 'skipHashCheck', ['snapshot-file']],
  ['history', 'history', ['snapshot-file', 'data-dir']],
  ['at', 'at', ['directory', 's3']],
];

/**
 * Refuses a flag that means nothing to the kind of source found.
 *
 * @throws FerryError `usage`
 */
export function refuseStrayFlags(request: SourceRequest, found: FoundKind): void {
  if (found === 'missing') return;
  const stray = MEANT_FOR.find(([, field, kinds]) => request[field] !== undefined && !kinds.includes(found));
  if (stray === undefined) return;
  const [flag, , kinds] = stray;
  const meant = kinds.map((kind) => KIND_NAMES[kind] ?? kind).join(' or ');
  throw new FerryError('usage', `--${flag} is for ${meant}; ${request.location.text} is none`);
}

/** The request without the flags that mean nothing to the kind of source found: for flags given once for several sources. */
export function withoutStrayFlags(request: SourceRequest, found: FoundKind): SourceRequest {
  const stray = new Set(MEANT_FOR.filter(([, , kinds]) => !kinds.includes(found)).map(([, field]) => field));
  return Object.fromEntries(
    Object.entries(request).filter(([field]) => !stray.has(field as keyof SourceRequest)),
  ) as unknown as SourceRequest;
}

const KIND_NAMES: Readonly<Record<string, string>> = {
  live: 'a live cluster',
  'data-dir': 'a data dir',
  'snapshot-file': 'a snapshot file',
  directory: 'a repository',
  s3: 'a bucket',
};
