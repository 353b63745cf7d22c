import type { ArchiveAccount } from '../archive/account.js';
import { openArchive } from '../archive/open.js';
import { proveArchive } from '../archive/prove.js';
import { archiveLimits, openArchiveBytes } from '../locations/archive.js';
import type { SourceRequest } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import { archiveSource } from '../readers/archive.js';
import { type LiveTarget, type WriteOptions, type WriteReport, writeLive } from './write-live.js';

export interface RestoreOptions {
  readonly from: SourceRequest;
  readonly to: LiveTarget;
  readonly write: WriteOptions;
}

export interface RestoreReport {
  readonly archive: ArchiveAccount;
  readonly to: string;
  readonly written: WriteReport;
}

/**
 * Writes an archive into a live cluster, by the archive's own API. The archive is proven whole
 * before anything is looked at in the target, and conflicts are looked for before anything is
 * written.
 *
 * @throws FerryError as the archive, the cluster and the writer do
 */
export async function restore(options: RestoreOptions, run: RunContext): Promise<RestoreReport> {
  const bytes = await openArchiveBytes(options.from, run);
  try {
    const limits = archiveLimits(options.from);
    const account = await proveArchive(bytes, run, limits);
    const source = archiveSource(await openArchive(bytes, limits), options.from.location.text, options.from.selection);
    return { archive: account, ...(await writeLive(source, options.to, options.write, run)) };
  } finally {
    await bytes.close();
  }
}
