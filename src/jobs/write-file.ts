import type { ArchiveAccount } from '../archive/account.js';
import { packArchive } from '../archive/pack.js';
import { type NewFile, openNewFile } from '../locations/target.js';
import type { ByteSink } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import { type WriteSnapshotOptions, type WriteSnapshotReport, writeSnapshotFile } from '../writers/snapshot-file.js';
import { soundRecords } from './sound-records.js';

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
  const sink = await openNewFile(target, run.signal);
  try {
    const account = await packArchive(soundRecords(source), sink, options, run);
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
 * Of an archive, whose records may be proven no sooner than the last of them is read, nothing is looked
 * at in the target before that.
 *
 * @throws FerryError as source and target do
 */
export async function writeSnapshot(
  source: Source,
  target: NewFile,
  options: WriteSnapshotOptions,
  run: RunContext,
): Promise<WriteSnapshotReport> {
  const sink = source.info.kind === 'archive' ? openedLate(target, run.signal) : await openNewFile(target, run.signal);
  return writeSnapshotFile(source, sink, options, run);
}

/** A sink that is opened when the first byte is written. */
function openedLate(target: NewFile, signal: AbortSignal): ByteSink {
  let sink: Promise<ByteSink> | undefined;
  const opened = (): Promise<ByteSink> => {
    sink ??= openNewFile(target, signal);
    return sink;
  };
  return {
    name: target.location.text,
    write: async (chunk) => (await opened()).write(chunk),
    finish: async () => (await opened()).finish(),
    abort: async () => {
      const open = await sink?.catch(() => undefined);
      await open?.abort();
    },
  };
}
