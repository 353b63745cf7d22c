import type { ArchiveAccount } from '../archive/account.js';
import { openArchive } from '../archive/open.js';
import { proveArchive } from '../archive/prove.js';
import { connectV3 } from '../cluster/v3-connect.js';
import { FerryError } from '../errors.js';
import { archiveLimits, openArchiveBytes } from '../locations/archive.js';
import { type ConnectionSettings, clusterOptions } from '../locations/connection.js';
import type { SourceRequest } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import { archiveSource } from '../readers/archive.js';
import { type RestoreV3Options, type RestoreV3Report, restoreLiveV3 } from '../writers/live-v3.js';

export interface RestoreOptions {
  readonly from: SourceRequest;
  readonly to: { readonly endpoints: readonly string[]; readonly connection: ConnectionSettings };
  readonly write: RestoreV3Options;
}

export interface RestoreReport {
  readonly archive: ArchiveAccount;
  readonly to: string;
  readonly written: RestoreV3Report;
}

/**
 * Writes an archive into a live v3 cluster. The archive is proven whole before anything is looked
 * at in the target, and conflicts are looked for before anything is written.
 *
 * @throws FerryError as the archive, the cluster and the writer do
 */
export async function restore(options: RestoreOptions, run: RunContext): Promise<RestoreReport> {
  const bytes = await openArchiveBytes(options.from, run);
  try {
    const limits = archiveLimits(options.from);
    const account = await proveArchive(bytes, run, limits);
    if (account.header.api === 'v2')
      throw new FerryError('usage', `${options.from.location.text} holds a v2 tree, which this release does not restore yet`);
    const source = archiveSource(await openArchive(bytes, limits), options.from.location.text, options.from.selection);
    const cluster = await connectV3(await clusterOptions(options.to.endpoints, options.to.connection));
    try {
      const written = await restoreLiveV3(source, cluster, options.write, run);
      return { archive: account, to: cluster.location, written };
    } finally {
      await cluster.close();
    }
  } finally {
    await bytes.close();
  }
}
