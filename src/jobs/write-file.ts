import type { ArchiveAccount } from '../archive/account.js';
import { packArchive } from '../archive/pack.js';
import { type NewFile, openNewFile } from '../locations/target.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import { type WriteSnapshotOptions, type WriteSnapshotReport, writeSnapshotFile } from '../writers/snapshot-file.js';

/** How an archive is written. */
export interface ArchiveOptions {
  readonly compress: 'gzip' | 'zstd';
  /** Version of this tool, for the archive's header. */
  readonly toolVersion: string;
  /** What the archive's header keeps of how the source was read. */
  readonly options?: Record<string, unknown>;
}

/**
 * Writes a source into a new archive, which appears under its name only when all of it is written.
 *
 * @throws FerryError as source and target do
 */
export async function writeArchive(source: Source, target: NewFile, options: ArchiveOptions, run: RunContext): Promise<ArchiveAccount> {
  const sink = await openNewFile(target);
  try {
    const account = await packArchive(source, sink, options, run);
    run.signal.throwIfAborted();
    await sink.finish();
    return account;
  } catch (thrown) {
    await sink.abort();
    throw thrown;
  }
}

/**
 * Writes a source into a new snapshot file, which appears under its name only when all of it is written.
 *
 * @throws FerryError as source and target do
 */
export async function writeSnapshot(
  source: Source,
  target: NewFile,
  options: WriteSnapshotOptions,
  run: RunContext,
): Promise<WriteSnapshotReport> {
  return writeSnapshotFile(source, await openNewFile(target), options, run);
}
