import type { ArchiveAccount } from '../archive/account.js';
import type { RunContext } from '../model/run.js';
import type { Repository, StoredArchive } from '../storage/repository.js';
import type { StoredSummary } from '../storage/stored-summary.js';
import type { RepositoryBackupOptions } from './backup-to-repository.js';
import { summarize } from './summarize.js';

/** An archive, and what is kept beside it. */
export interface DescribedArchive {
  readonly archive: StoredArchive;
  readonly summary: StoredSummary;
}

/**
 * The newest archive of a NAME, or the one of the very moment and revision of a new one, if the same records
 * stand in it and nothing speaks against it: it was not found damaged, has its size, and is encrypted if a new
 * one would be.
 */
export async function unchangedSince(
  repository: Repository,
  options: RepositoryBackupOptions,
  account: ArchiveAccount,
  run: RunContext,
): Promise<DescribedArchive | undefined> {
  const { startedAt, revision } = account.header;
  const named = (await repository.archives()).filter(({ name }) => name === options.to.name);
  const newest = repository.newest(named, run);
  const candidates = named.filter((archive) => archive === newest || (archive.time === startedAt && archive.revision === revision));
  for (const archive of candidates.reverse()) {
    const found = await unchangedIn(repository, archive, options, account, run);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function unchangedIn(
  repository: Repository,
  archive: StoredArchive,
  { from, to }: RepositoryBackupOptions,
  account: ArchiveAccount,
  run: RunContext,
): Promise<DescribedArchive | undefined> {
  if (archive.encrypted !== (to.seal !== undefined)) return undefined;
  const summary = (await repository.summary(archive)) ?? (await summaryAgain(repository, archive, from.open, run));
  if (summary === undefined || summary.damagedAt !== undefined || summary.size !== archive.size) return undefined;
  return summary.api === account.header.api && summary.digests.records === account.digests.records ? { archive, summary } : undefined;
}

/** A summary that is missing, made again and kept; undefined where the archive cannot be read. */
async function summaryAgain(
  repository: Repository,
  archive: StoredArchive,
  open: RepositoryBackupOptions['from']['open'],
  run: RunContext,
): Promise<StoredSummary | undefined> {
  try {
    const summary = await summarize(repository, archive, open, run);
    await repository.describe(archive, summary);
    return summary;
  } catch {
    run.signal.throwIfAborted();
    // Whatever is wrong with it: a new archive is the answer.
    return undefined;
  }
}
