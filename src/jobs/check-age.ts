import type { RunContext } from '../model/run.js';
import { isInFuture } from '../storage/clock.js';
import { emptyRepository, type Repository, type StoredArchive } from '../storage/repository.js';
import type { StoredSummary } from '../storage/stored-summary.js';
import { ofNames } from './prune.js';

export interface CheckAgeOptions {
  /** Milliseconds. */
  readonly maxAge: number;
  /** `verify`: count only archives that passed it. */
  readonly require?: 'verify';
  /** Only these NAMEs; all when there are none. */
  readonly names?: readonly string[];
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

/** How old the backups of one NAME are. */
export interface AgeOfName {
  readonly name: string;
  readonly fresh: boolean;
  /** The newest archive that counts, if there is one. */
  readonly archive?: StoredArchive;
  /** When a backup last made that archive, or found nothing changed since; milliseconds since the Unix epoch. */
  readonly backedUpAt?: number;
  /** In milliseconds; 0 for one that clocks at odds put into the near future. */
  readonly age?: number;
}

export interface CheckAgeReport {
  readonly location: string;
  readonly names: readonly AgeOfName[];
  readonly fresh: boolean;
}

/**
 * Tells whether the newest backup of every NAME is recent enough. A backup that found nothing changed
 * (`--skip-unchanged`) counts like an archive.
 *
 * @throws FerryError `empty-repository`, `not-found` for a NAME without archives, and as the repository does
 */
export async function checkAge(repository: Repository, options: CheckAgeOptions, run: RunContext): Promise<CheckAgeReport> {
  const all = await repository.archives();
  if (all.length === 0) throw emptyRepository(repository.location);
  const archives = ofNames(all, options.names ?? [], repository.location);
  // What passed verify stands in the summaries alone.
  const needed = options.require === 'verify';
  const summaries = await repository.summaries(archives, needed ? undefined : repository.warnOfUnreadable(run));
  const backups = archives.map((archive, i) => backupOf(archive, summaries[i], options.now));
  for (const { archive, at } of backups) {
    if (!isInFuture(at, options.now)) continue;
    run.warn(`${archive.file} is dated in the future, ${new Date(at).toISOString()}; it counts for nothing here`);
  }
  const names = [...new Set(archives.map(({ name }) => name))];
  const ages = names.map((name) =>
    ageOf(
      name,
      backups.filter(({ archive }) => archive.name === name),
      options,
    ),
  );
  return { location: repository.location, names: ages, fresh: ages.every(({ fresh }) => fresh) };
}

interface Backup {
  readonly archive: StoredArchive;
  /** When it was made, or last found to be still the same as the cluster. */
  readonly at: number;
  readonly verified: boolean;
}

function backupOf(archive: StoredArchive, summary: StoredSummary | undefined, now: number): Backup {
  const unchangedAt = summary?.unchangedAt ?? 0;
  // A clock that ran ahead for one night says nothing of the archive itself.
  const at = isInFuture(unchangedAt, now) ? archive.time : Math.max(archive.time, unchangedAt);
  return { archive, at, verified: summary?.verified.content !== undefined };
}

function ageOf(name: string, backups: readonly Backup[], { maxAge, require, now }: CheckAgeOptions): AgeOfName {
  const counting = backups.filter(({ at, verified }) => !isInFuture(at, now) && (require === undefined || verified));
  const newest = counting.reduce<Backup | undefined>(
    (best, backup) => (best === undefined || backup.at >= best.at ? backup : best),
    undefined,
  );
  if (newest === undefined) return { name, fresh: false };
  const age = Math.max(0, now - newest.at);
  return { name, fresh: age <= maxAge, archive: newest.archive, backedUpAt: newest.at, age };
}
