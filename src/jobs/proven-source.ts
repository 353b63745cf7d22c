import { openArchive } from '../archive/open.js';
import { proveArchive } from '../archive/prove.js';
import { archiveLimits, openArchiveBytes } from '../locations/archive.js';
import { detect } from '../locations/detect.js';
import { openSource, refuseStrayFlags, type SourceRequest, withObjects } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import { closing, type Source } from '../model/source.js';
import { archiveSource } from '../readers/archive.js';

/**
 * Opens a source that is about to be written from: an archive is proven whole first, every byte of
 * it; anything else has no digests to prove and is checked as it is read.
 *
 * @throws FerryError as `proveArchive` and `openSource` do
 */
export async function openProven(request: SourceRequest, run: RunContext): Promise<Source> {
  const { location } = request;
  const isArchive = location.kind === 'stdio' || (location.kind === 'path' && !(await readsOtherwise(location.path)));
  if (!isArchive) return openSource(request, run);
  refuseStrayFlags(request, 'archive');
  const bytes = await openArchiveBytes(request, run);
  try {
    await proveArchive(bytes, run, archiveLimits(request));
    const source = archiveSource(await openArchive(bytes, archiveLimits(request)), location.text, request.selection);
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
