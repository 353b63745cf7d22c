import type { ArchiveAccount } from '../archive/account.js';
import { FerryError } from '../errors.js';
import { openSource, type SourceRequest } from '../locations/source.js';
import { type NewFile, newFileKind } from '../locations/target.js';
import type { Note } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { SourceInfo } from '../model/source.js';
import { writeArchive } from './write-file.js';

export interface BackupOptions {
  readonly from: SourceRequest;
  readonly to: NewFile;
  readonly compress: 'gzip' | 'zstd';
  /** Version of this tool, for the archive's header. */
  readonly toolVersion: string;
}

export interface BackupReport {
  readonly source: SourceInfo;
  readonly archive: ArchiveAccount;
  readonly to: string;
  readonly dryRun: boolean;
  /** How many times the read began again because the revision was compacted away. */
  readonly restarts: number;
  readonly notes: readonly Note[];
}

/** A read that loses its revision to compaction this often will not win by trying again. */
const MAX_RESTARTS = 3;

/**
 * Reads a source into an archive. The archive appears under its name only when all of it is written.
 *
 * @throws FerryError as the source, the archive and the target do; `compacted` when the revision was
 *   compacted away again and again
 */
export async function backup(options: BackupOptions, run: RunContext): Promise<BackupReport> {
  if ((await newFileKind(options.to.location)) !== 'archive') {
    throw new FerryError('usage', `${options.to.location.text}: backup writes archives`, {
      hint: 'End it in .tar; restore writes snapshot files.',
    });
  }
  for (let restarts = 0; ; restarts++) {
    try {
      return await backupOnce(options, restarts, run);
    } catch (thrown) {
      if (!mayStartAgain(thrown, options)) throw FerryError.from(thrown);
      if (restarts === MAX_RESTARTS) throw gaveUp(thrown);
      run.warn(`the revision being read was compacted away; starting again at a new one (${restarts + 1} of ${MAX_RESTARTS})`);
    }
  }
}

async function backupOnce({ from, to, compress, toolVersion }: BackupOptions, restarts: number, run: RunContext): Promise<BackupReport> {
  const source = await openSource(from, run);
  try {
    const options = from.via === undefined ? {} : { via: from.via };
    const archive = await writeArchive(source, to, { compress, toolVersion, options }, run);
    return { source: source.info, archive, to: to.location.text, dryRun: to.dryRun, restarts, notes: source.notes.list() };
  } finally {
    await source.close();
  }
}

/** Only a revision we chose ourselves may be chosen again, and what went to stdout cannot be taken back. */
function mayStartAgain(thrown: unknown, options: BackupOptions): boolean {
  const compacted = thrown instanceof FerryError && thrown.code === 'compacted';
  return compacted && options.from.revision === undefined && options.to.location.kind !== 'stdio';
}

function gaveUp(thrown: unknown): FerryError {
  return new FerryError('compacted', `the revision being read was compacted away ${MAX_RESTARTS + 1} times; nothing was written`, {
    hint: 'Use --via snapshot, which no compaction can disturb, or compact less often while backing up.',
    cause: thrown,
  });
}
