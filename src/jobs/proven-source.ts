import type { ArchiveLimits } from '../archive/format.js';
import { openArchive } from '../archive/open.js';
import { proveArchive, provenRecords } from '../archive/prove.js';
import { archiveLimits, openArchiveBytes } from '../locations/archive.js';
import { detect } from '../locations/detect.js';
import { refuseOddDirectory } from '../locations/odd-directory.js';
import { isRepository } from '../locations/repository.js';
import { openSource, refuseStrayFlags, type SourceRequest, withNames, withObjects } from '../locations/source.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { closing, delegate, type Source } from '../model/source.js';
import { archiveSource } from '../readers/archive.js';

/**
 * Opens a source that is about to be written from: an archive is proven whole first, every byte of
 * it; anything else has no digests to prove and is checked as it is read.
 *
 * @throws FerryError as `proveArchive` and `openSource` do
 */
export async function openProven(request: SourceRequest, run: RunContext): Promise<Source> {
  return openArchiveFirst(request, run, async (bytes, limits) => {
    const largestRecord = await proveAndMeasure(bytes, run, limits);
    const source = archiveSource(await openArchive(bytes, limits), bytes.name, request.selection);
    return { ...delegate(source), info: { ...source.info, largestRecord } };
  });
}

/** @returns the bytes of the largest record */
async function proveAndMeasure(bytes: ByteSource, run: RunContext, limits: ArchiveLimits): Promise<number> {
  let largest = 0;
  for await (const { starts, ends, count } of provenRecords(bytes, run, limits)) {
    for (let i = 0; i < count; i++) largest = Math.max(largest, (ends[i] as number) - (starts[i] as number));
  }
  return largest;
}

/**
 * As `openProven`, but an archive is proven while its records are read, in one pass instead of two: for
 * a writer that writes its first byte after it has read the last record, as that of snapshot files does.
 *
 * @throws FerryError as `openProven`; where the archive is damaged in its records, `records()` does
 */
export async function openProvenAsRead(request: SourceRequest, run: RunContext): Promise<Source> {
  return openArchiveFirst(request, run, async (bytes, limits) => {
    // Whoever reads the records tells how far it is.
    const quiet = { ...run, progress: () => {} };
    const reader = await openArchive(bytes, limits).catch(async (thrown) => {
      // It may be more than what opening stumbled upon.
      await proveArchive(bytes, run, limits);
      throw thrown;
    });
    return archiveSource(reader, bytes.name, request.selection, () => provenRecords(bytes, quiet, limits));
  });
}

/** Opens an archive as told, and anything else as any source. */
async function openArchiveFirst(
  asked: SourceRequest,
  run: RunContext,
  open: (bytes: ByteSource, limits: ArchiveLimits) => Promise<Source>,
): Promise<Source> {
  const request = await withNames(asked);
  const { location } = request;
  const isArchive =
    location.kind === 'stdio' || location.kind === 's3' || (location.kind === 'path' && !(await readsOtherwise(location.path)));
  if (!isArchive) return openSource(request, run);
  if (location.kind === 'path' && (await detect(location.path)) === 'directory') await refuseOddDirectory(location.path);
  const { at: _, ...rest } = request;
  refuseStrayFlags((await isRepository(location)) ? rest : request, 'archive');
  const bytes = await openArchiveBytes(request, run);
  try {
    const source = await open(bytes, archiveLimits(request));
    return await withObjects(
      closing(source, () => bytes.close()),
      request,
    );
  } catch (thrown) {
    await bytes.close();
    throw thrown;
  }
}

async function readsOtherwise(path: string): Promise<boolean> {
  const found = await detect(path);
  return found === 'snapshot-file' || found === 'data-dir';
}
