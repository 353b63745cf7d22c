import type { ArchiveAccount } from '../archive/account.js';
import { FerryError } from '../errors.js';
import { openSource, type SourceRequest } from '../locations/source.js';
import { type NewFile, newFileKind } from '../locations/target.js';
import type { Note } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { SourceInfo } from '../model/source.js';
import { againWhenCompacted } from './again.js';
import { refuseImpossible, requireSelected } from './nothing-selected.js';
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
  /** What became of it in a repository. */
  readonly stored?: StoredReport;
  readonly notes: readonly Note[];
}

/** What became of a backup in a repository. */
export interface StoredReport {
  /** NAME of the archive. */
  readonly name: string;
  /** File name of the archive, in the repository: the new one, or the one that nothing changed since. */
  readonly file: string;
  /** True when nothing was written, as nothing changed since that archive (`--skip-unchanged`). */
  readonly unchanged: boolean;
  /** Of the stored file, in bytes, and in hex. */
  readonly size: number;
  readonly sha256: string;
}

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
  refuseImpossible(options.from);
  // What went to stdout cannot be taken back.
  const mayStartAgain = options.from.revision === undefined && options.to.location.kind !== 'stdio';
  return againWhenCompacted((restarts) => backupOnce(options, restarts, run), mayStartAgain, run);
}

async function backupOnce({ from, to, compress, toolVersion }: BackupOptions, restarts: number, run: RunContext): Promise<BackupReport> {
  const source = requireSelected(await openSource(from, run), from, run);
  try {
    const options = from.via === undefined ? {} : { via: from.via };
    const archive = await writeArchive(source, to, { compress, toolVersion, options }, run);
    return { source: source.info, archive, to: to.location.text, dryRun: to.dryRun, restarts, notes: source.notes.list() };
  } finally {
    await source.close();
  }
}
