import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import { emptyRepository, type Repository, type StoredArchive } from '../storage/repository.js';
import type { HeldLock } from '../storage/repository-lock.js';
import { applyRetention, checkPolicy, type RetentionDecision, type RetentionPolicy } from '../storage/retention.js';

export interface PruneOptions {
  readonly policy: RetentionPolicy;
  /** Only archives of these NAMEs; all when there are none. */
  readonly names?: readonly string[];
  /** Say what would go, remove nothing. */
  readonly dryRun: boolean;
  /** That none are there is no failure: the backup before it was a dry run. */
  readonly mayHoldNone?: boolean;
  /** How long to wait for the repository's lock, in milliseconds. */
  readonly wait?: number;
  /** IANA name of the time zone whose days and weeks count; the machine's own by default. */
  readonly zone?: string;
}

/** An archive and what is known of it for the decision. */
export interface PruneCandidate extends StoredArchive {
  /** True when `verify` read all of it and found it whole. */
  readonly verified: boolean;
  /** True when it was last found damaged. */
  readonly damaged: boolean;
}

export interface PruneReport {
  readonly location: string;
  readonly dryRun: boolean;
  /** By name, then from the newest to the oldest. */
  readonly decisions: readonly RetentionDecision<PruneCandidate>[];
  readonly kept: number;
  readonly removed: number;
  /** Bytes of what was removed, or would be. */
  readonly freed: number;
}

/**
 * Removes the archives of a repository that a policy does not keep, each NAME apart. The repository
 * is locked for it; a dry run locks nothing.
 *
 * @throws FerryError `usage` for a policy that would keep nothing, `empty-repository`, `not-found` for a NAME
 *   without archives, `locked`, and as the repository does
 */
export async function prune(repository: Repository, options: PruneOptions, run: RunContext): Promise<PruneReport> {
  checkPolicy(options.policy);
  if (options.dryRun) return report(repository, await decide(repository, options, Date.now(), run), true);
  const { wait } = options;
  await using lock = await repository.lock({ kind: 'exclusive' }, { doing: 'prune', ...(wait === undefined ? {} : { wait }) }, run);
  // This machine's clock may run ahead; the store's may be another one, and tells.
  const now = Math.min(Date.now(), lock.heldAt || Date.now());
  const decisions = await decide(repository, options, now, run);
  await remove(repository, decisions, lock, run);
  return report(repository, decisions, false);
}

async function decide(
  repository: Repository,
  options: PruneOptions,
  now: number,
  run: RunContext,
): Promise<RetentionDecision<PruneCandidate>[]> {
  const { policy, names = [], zone, mayHoldNone } = options;
  const all = await repository.archives();
  if (mayHoldNone === true && !all.some(({ name }) => names.includes(name))) return [];
  if (all.length === 0) throw emptyRepository(repository.location);
  const archives = ofNames(all, names, repository.location);
  repository.warnOfFuture(archives, run, now);
  const summaries = await repository.summaries(archives);
  const candidates = archives.map((archive, i) => ({
    ...archive,
    verified: summaries[i]?.verified.content !== undefined,
    damaged: summaries[i]?.damagedAt !== undefined,
  }));
  return applyRetention(candidates, policy, { now, ...(zone === undefined ? {} : { zone }) });
}

/**
 * The archives of some NAMEs, or all of them.
 *
 * @throws FerryError `not-found` for a NAME that has none
 */
export function ofNames(archives: readonly StoredArchive[], names: readonly string[], location: string): readonly StoredArchive[] {
  if (names.length === 0) return archives;
  const there = [...new Set(archives.map(({ name }) => name))];
  const missing = names.find((name) => !there.includes(name));
  if (missing === undefined) return archives.filter(({ name }) => names.includes(name));
  throw new FerryError('not-found', `${location} holds no archive of ${missing}`, { hint: `It holds archives of ${there.join(', ')}.` });
}

/** The oldest go first, so that a run cut short leaves no hole. */
async function remove(
  repository: Repository,
  decisions: readonly RetentionDecision<PruneCandidate>[],
  lock: HeldLock,
  run: RunContext,
): Promise<void> {
  const going = decisions.filter(({ keep }) => !keep).reverse();
  for (const [done, { archive }] of going.entries()) {
    run.signal.throwIfAborted();
    await lock.check();
    await repository.remove(archive);
    run.progress({ phase: 'removing', records: done + 1, bytes: 0, totalRecords: going.length });
  }
}

function report(repository: Repository, decisions: readonly RetentionDecision<PruneCandidate>[], dryRun: boolean): PruneReport {
  const going = decisions.filter(({ keep }) => !keep);
  return {
    location: repository.location,
    dryRun,
    decisions,
    kept: decisions.length - going.length,
    removed: going.length,
    freed: going.reduce((sum, { archive }) => sum + archive.size, 0),
  };
}
