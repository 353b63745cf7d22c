import { openArchive } from '../archive/open.js';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import type { Api, KeySelection, Source } from '../model/source.js';
import { archiveSource } from '../readers/archive.js';
import { archiveLimits, openArchiveBytes } from './archive.js';
import type { ConnectionSettings } from './connection.js';
import { detect } from './detect.js';
import type { Location } from './parse.js';

/** A source as the user asked for it. What does not apply to the kind of source found is refused. */
export interface SourceRequest {
  readonly location: Location;
  /** Which API of a live cluster or data dir; an archive and a snapshot file know their own. */
  readonly api?: Api;
  readonly connection: ConnectionSettings;
  readonly selection: KeySelection;
  /** Read at this revision instead of the latest. */
  readonly revision?: bigint;
  readonly via?: 'range' | 'snapshot';
  /** Bytes per second, for a live source. */
  readonly limitRate?: number;
  /** Largest record to accept from an archive, in bytes. */
  readonly maxRecordSize?: number;
  /** Hidden v2 nodes to read besides, by path. */
  readonly includeHidden?: readonly string[];
  /** Where the WAL of a data dir is, if not in it. */
  readonly walDir?: string;
  /** Also take what stands in a data dir's WAL after the commit index. */
  readonly includeUncommitted?: boolean;
  /** Most memory that replaying a data dir may take, in bytes. */
  readonly maxMemory?: number;
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
export async function openSource(request: SourceRequest, run: RunContext): Promise<Source> {
  const { location } = request;
  // Loaded when needed: what talks to a cluster takes longer to load than an archive to be proven.
  if (location.kind === 'live') return (await import('./live.js')).openLive(request, location.endpoints, run);
  refuseFor('a live cluster', { via: request.via, 'limit-rate': request.limitRate, 'include-hidden': request.includeHidden }, location);
  if (location.kind === 'path' && (await detect(location.path)) === 'data-dir') return openDataDir(request, location.path, run);
  refuseFor('a data dir', { 'wal-dir': request.walDir, 'include-uncommitted': request.includeUncommitted }, location);
  refuseFor('a live cluster', { revision: request.revision, api: request.api }, location);
  const bytes = await openArchiveBytes(request, run);
  try {
    return archiveSource(await openArchive(bytes, archiveLimits(request)), location.text, request.selection);
  } catch (thrown) {
    await bytes.close();
    throw thrown;
  }
}

async function openDataDir(request: SourceRequest, path: string, run: RunContext): Promise<Source> {
  if (request.api !== 'v2') {
    throw new FerryError('usage', `${path} is a data dir, of which this release reads the v2 tree alone`, { hint: 'Give --api v2.' });
  }
  const { openDataDirV2 } = await import('../readers/data-dir-v2.js');
  const { location, selection, walDir, includeUncommitted, maxMemory } = request;
  return openDataDirV2(
    path,
    {
      location: location.text,
      selection,
      ...(walDir === undefined ? {} : { walDir }),
      ...(includeUncommitted === undefined ? {} : { includeUncommitted }),
      ...(maxMemory === undefined ? {} : { maxMemory }),
    },
    run,
  );
}

/** A flag that would be ignored is a misunderstanding to be told of. */
function refuseFor(kind: string, flags: Readonly<Record<string, unknown>>, location: Location): void {
  const given = Object.keys(flags).find((name) => flags[name] !== undefined);
  if (given !== undefined) throw new FerryError('usage', `--${given} is for ${kind}; ${location.text} is none`);
}
