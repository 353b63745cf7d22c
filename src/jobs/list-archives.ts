import { openArchive } from '../archive/open.js';
import type { OpenWith } from '../locations/age-keys.js';
import { plainBytes } from '../locations/archive.js';
import { openRepository, type RepositoryRequest } from '../locations/repository.js';
import type { RunContext } from '../model/run.js';
import { emptyRepository, type Repository, type StoredArchive } from '../storage/repository.js';
import { type StoredSummary, summaryOfAccount } from '../storage/stored-summary.js';
import { ofNames } from './prune.js';

export interface ListArchivesOptions {
  readonly repository: RepositoryRequest;
  /** Only archives of these NAMEs; all when there are none. */
  readonly names: readonly string[];
  /** What opens encrypted archives that have no summary. */
  readonly open?: OpenWith;
}

/** An archive and what is known of it. */
export interface ListedArchive {
  readonly archive: StoredArchive;
  /** Undefined where it is missing and the archive could not be read; without a `sha256` where only the archive tells. */
  readonly summary: (Omit<StoredSummary, 'sha256'> & { readonly sha256?: string }) | undefined;
}

export interface ArchiveList {
  readonly location: string;
  /** By NAME, the oldest of each first. */
  readonly archives: readonly ListedArchive[];
}

/**
 * Lists the archives of a repository. No lock is taken. Where a summary is missing, the archive's own manifest tells.
 *
 * @throws FerryError `empty-repository`, `not-found` for a NAME without archives, and as the repository does
 */
export async function listArchives(options: ListArchivesOptions, run: RunContext): Promise<ArchiveList> {
  await using repository = await openRepository(options.repository, run);
  await repository.warnOfLinks(run);
  const all = await repository.archives();
  if (all.length === 0) throw emptyRepository(repository.location);
  const archives = ofNames(all, options.names, repository.location);
  repository.warnOfFuture(archives, run);
  const summaries = await repository.summaries(archives, repository.warnOfUnreadable(run));
  const listed: ListedArchive[] = [];
  for (const [i, archive] of archives.entries()) {
    run.signal.throwIfAborted();
    listed.push({ archive, summary: summaries[i] ?? (await fromManifest(repository, archive, options.open)) });
  }
  return { location: repository.location, archives: listed };
}

async function fromManifest(repository: Repository, archive: StoredArchive, open: OpenWith | undefined): Promise<ListedArchive['summary']> {
  try {
    const bytes = await plainBytes(await repository.open(archive), repository.locationOf(archive), open);
    try {
      const { sha256: _, ...summary } = summaryOfAccount((await openArchive(bytes)).account, { size: archive.size, sha256: '' });
      return summary;
    } finally {
      await bytes.close();
    }
  } catch {
    // Damaged, or encrypted: verify says which.
    return undefined;
  }
}
