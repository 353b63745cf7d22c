import { isDeepStrictEqual } from 'node:util';
import type { ArchiveAccount } from '../archive/account.js';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import type { Repository, StoredArchive } from '../storage/repository.js';
import { otherDigestsOf, type StoredSummary } from '../storage/stored-summary.js';
import type { RepositoryBackupOptions } from './backup-to-repository.js';
import { summarize } from './summarize.js';

/** An archive, and what is kept beside it. */
export interface DescribedArchive {
  readonly archive: StoredArchive;
  readonly summary: StoredSummary;
}

/** What looks for an archive that holds the same as a new one. */
interface Search {
  readonly repository: Repository;
  readonly options: RepositoryBackupOptions;
  /** Of the new archive. */
  readonly account: ArchiveAccount;
  /** Is told of an archive that would be the same, and is damaged. */
  readonly onDamaged: (archive: StoredArchive) => void;
  readonly run: RunContext;
}

/**
 * The newest archive of a NAME, or the one of the very moment and revision of a new one, if the same keys, leases, users
 * and roles stand in it, chosen in the same way, and its stored bytes are those it was written with: all of them are read.
 * It is encrypted if the new one would be.
 */
export async function unchangedSince(search: Search): Promise<DescribedArchive | undefined> {
  const { repository, options, account, run } = search;
  const { startedAt, revision } = account.header;
  const named = (await repository.archives()).filter(({ name }) => name === options.to.name);
  const newest = repository.newest(named, run);
  const candidates = named.filter((archive) => archive === newest || (archive.time === startedAt && archive.revision === revision));
  for (const archive of candidates.reverse()) {
    const found = await unchangedIn(archive, search);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function unchangedIn(archive: StoredArchive, search: Search): Promise<DescribedArchive | undefined> {
  const { repository, options, account, run } = search;
  if (archive.encrypted !== (options.to.seal !== undefined)) return undefined;
  const kept = await repository.summary(archive);
  if (kept !== undefined && !hasSameRecords(kept, account)) return undefined;
  if (kept !== undefined && !(await isIntact(archive, kept, repository, run))) {
    search.onDamaged(archive);
    return undefined;
  }
  const summary = kept?.otherDigests === undefined ? await summaryAgain(archive, kept, search) : kept;
  if (summary === undefined || !hasSameRecords(summary, account)) return undefined;
  return isDeepStrictEqual(summary.otherDigests, otherDigestsOf(account)) ? { archive, summary } : undefined;
}

function hasSameRecords(summary: StoredSummary, account: ArchiveAccount): boolean {
  return summary.api === account.header.api && summary.digests.records === account.digests.records;
}

/** Reads an archive back, and keeps that it is damaged where it is. */
async function isIntact(archive: StoredArchive, kept: StoredSummary, repository: Repository, run: RunContext): Promise<boolean> {
  if (kept.damagedAt !== undefined) return false;
  if (kept.size === archive.size && (await storedSha256(archive, repository, run)) === kept.sha256) return true;
  await repository.markDamaged(archive);
  return false;
}

/** Undefined where the bytes cannot be read, as of a bad block. A store that does not answer is another matter. */
async function storedSha256(archive: StoredArchive, repository: Repository, run: RunContext): Promise<string | undefined> {
  try {
    return await repository.sha256(archive, run);
  } catch (thrown) {
    run.signal.throwIfAborted();
    const error = FerryError.from(thrown);
    if (error.code === 'unreachable' || error.code === 'unauthorized') throw error;
    return undefined;
  }
}

/** A summary that is missing, or of an earlier release, made again and kept; undefined where the archive cannot be read. */
async function summaryAgain(archive: StoredArchive, kept: StoredSummary | undefined, search: Search): Promise<StoredSummary | undefined> {
  const { repository, options, run } = search;
  try {
    const made = await summarize(repository, archive, options.from.open, run);
    const summary = kept?.unchangedAt === undefined ? made : { ...made, unchangedAt: kept.unchangedAt };
    await repository.describe(archive, summary);
    return summary;
  } catch (thrown) {
    run.signal.throwIfAborted();
    if (FerryError.from(thrown).code === 'damaged') search.onDamaged(archive);
    // Whatever is wrong with it: a new archive is the answer.
    return undefined;
  }
}
