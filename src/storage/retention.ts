import { DateTime } from 'luxon';
import { FerryError } from '../errors.js';
import { type CalendarSpan, formatSpan, isEmptySpan, spanBefore } from './calendar-span.js';
import { isInFuture } from './clock.js';

/** A number of archives to keep; -1 keeps all. */
export type KeepCount = number;

/** What is to be kept, as restic's `forget` has it. An archive that one rule keeps is kept. */
export interface RetentionPolicy {
  readonly last?: KeepCount;
  readonly hourly?: KeepCount;
  readonly daily?: KeepCount;
  readonly weekly?: KeepCount;
  readonly monthly?: KeepCount;
  readonly yearly?: KeepCount;
  /** All that are at most so much older than the newest. */
  readonly within?: CalendarSpan;
}

/** What must be known of an archive to decide over it. */
export interface RetentionCandidate {
  /** Archives of one name are decided over together, apart from all others. */
  readonly name: string;
  /** When it was made, in milliseconds since the Unix epoch. */
  readonly time: number;
  /** True when `verify` found it whole. */
  readonly verified: boolean;
  /** True when `verify` or a backup found it damaged, and it has not passed since. */
  readonly damaged?: boolean;
}

/** What becomes of an archive, and why. */
export interface RetentionDecision<A> {
  readonly archive: A;
  readonly keep: boolean;
  /** For one that stays, the rules that keep it; for one that goes, why no rule does. At least one. */
  readonly reasons: readonly string[];
}

export interface RetentionClock {
  /** Milliseconds since the Unix epoch: what is later than this lies in the future. */
  readonly now: number;
  /** IANA name of the time zone whose hours, days, weeks, months and years count; the machine's own by default. */
  readonly zone?: string;
}

type Unit = 'last' | 'hourly' | 'daily' | 'weekly' | 'monthly' | 'yearly';

/** The bucket a time falls into: the archives of one bucket share its value. */
type Bucketer = (time: DateTime, position: number) => number;

interface Rule {
  readonly unit: Unit;
  readonly span: string;
  readonly bucketOf: Bucketer;
}

/**
 * restic's buckets (internal/restic/snapshot_policy.go): the parts of the clock as people there read
 * it. So the hour that autumn repeats is one hour.
 */
const RULES: readonly Rule[] = [
  { unit: 'last', span: 'place', bucketOf: (_, position) => position },
  { unit: 'hourly', span: 'hour', bucketOf: (t) => ((t.year * 100 + t.month) * 100 + t.day) * 100 + t.hour },
  { unit: 'daily', span: 'day', bucketOf: (t) => (t.year * 100 + t.month) * 100 + t.day },
  { unit: 'weekly', span: 'week', bucketOf: (t) => t.weekYear * 100 + t.weekNumber },
  { unit: 'monthly', span: 'month', bucketOf: (t) => t.year * 100 + t.month },
  { unit: 'yearly', span: 'year', bucketOf: (t) => t.year },
];

/**
 * Checks that a policy keeps something.
 *
 * @throws FerryError `usage` for a policy without a rule, and for a count that is none
 */
export function checkPolicy(policy: RetentionPolicy): void {
  for (const { unit } of RULES) {
    const count = policy[unit];
    if (count === undefined || (Number.isInteger(count) && count >= -1)) continue;
    throw new FerryError('usage', `--keep-${unit}: ${count} is not a number of archives`, {
      hint: 'Give a whole number, 0 for none of them or -1 for all.',
    });
  }
  if (RULES.some(({ unit }) => (policy[unit] ?? 0) !== 0) || !isEmptySpan(policy.within)) return;
  throw new FerryError('usage', 'this retention policy would keep nothing', {
    hint: 'Say what to keep, for example --keep-daily 7 --keep-weekly 4.',
  });
}

/**
 * Decides which archives stay, each name apart, by the rules of restic's `forget`: from the newest
 * back, each rule keeps the newest archive of each of its last N hours, days, ISO weeks, months or
 * years that have one; the oldest archive of all stays while a rule has places left. Besides, the
 * newest archive that passed `verify` always stays. An archive dated in the future stays until its time has come, and
 * takes no other's place under any rule; nor does one that is known to be damaged, which goes when it would go as a whole one.
 *
 * @returns a decision for each archive, by name and then from the newest to the oldest
 * @throws FerryError as `checkPolicy`
 */
export function applyRetention<A extends RetentionCandidate>(
  archives: readonly A[],
  policy: RetentionPolicy,
  clock: RetentionClock,
): RetentionDecision<A>[] {
  checkPolicy(policy);
  const names = [...new Set(archives.map(({ name }) => name))].sort();
  return names.flatMap((name) => {
    const ofName = archives.filter((archive) => archive.name === name).sort((a, b) => b.time - a.time);
    const [ahead, rest] = [ofName.filter(isAhead(clock)), ofName.filter((archive) => !isAhead(clock)(archive))];
    return [...ahead.map((archive) => ({ archive, keep: true, reasons: ['dated in the future'] })), ...decideApart(rest, policy, clock)];
  });
}

/** Decides over damaged archives as if they were whole, and over the others as if the damaged ones were not there. */
function decideApart<A extends RetentionCandidate>(
  archives: readonly A[],
  policy: RetentionPolicy,
  clock: RetentionClock,
): RetentionDecision<A>[] {
  const sound = archives.filter(({ damaged }) => damaged !== true);
  const all = decide(archives, policy, clock);
  if (sound.length === archives.length) return all;
  const ofSound = new Map(decide(sound, policy, clock).map((decision) => [decision.archive, decision]));
  return all.map((decision) => ofSound.get(decision.archive) ?? { ...decision, reasons: ['damaged', ...decision.reasons] });
}

function isAhead({ now }: RetentionClock): (archive: RetentionCandidate) => boolean {
  return ({ time }) => isInFuture(time, now);
}

/** @param archives of one name, from the newest to the oldest, none of the future */
function decide<A extends RetentionCandidate>(
  archives: readonly A[],
  policy: RetentionPolicy,
  { now, zone = 'local' }: RetentionClock,
): RetentionDecision<A>[] {
  const counters = RULES.filter(({ unit }) => (policy[unit] ?? 0) !== 0).map((rule) => new Counter(rule, policy[rule.unit] ?? 0));
  const isWithin = withinTest(archives, policy.within, now, zone);
  const safe = archives.find(({ verified }) => verified);
  return archives.map((archive, position) => {
    const oldest = position === archives.length - 1;
    const time = DateTime.fromMillis(archive.time, { zone });
    const verdicts = [isWithin(archive.time), ...counters.map((counter) => counter.verdict(time, position, oldest))];
    const kept = verdicts.flatMap((verdict) => verdict.kept ?? []);
    if (archive === safe) kept.push('newest that passed verify');
    const reasons = kept.length > 0 ? kept : verdicts.flatMap((verdict) => verdict.gone ?? []);
    return { archive, keep: kept.length > 0, reasons };
  });
}

/** What one rule says of one archive, and why; nothing where it is not asked. */
interface Verdict {
  readonly kept?: string;
  readonly gone?: string;
}

function withinTest<A extends RetentionCandidate>(
  archives: readonly A[],
  within: CalendarSpan | undefined,
  now: number,
  zone: string,
): (time: number) => Verdict {
  if (within === undefined || isEmptySpan(within)) return () => ({});
  // A clock that ran ahead once must not make all others look old.
  const newest = archives.find(({ time }) => time < now)?.time ?? Number.NEGATIVE_INFINITY;
  const text = formatSpan(within);
  const limit = newest === Number.NEGATIVE_INFINITY ? newest : spanBefore(newest, within, zone);
  return (time) => (time > limit ? { kept: `within ${text}` } : { gone: `not within ${text} of the newest` });
}

/** Counts the places of one rule down, from the newest archive back. */
class Counter {
  readonly #rule: Rule;
  readonly #count: KeepCount;
  #left: KeepCount;
  #last = -1;

  constructor(rule: Rule, count: KeepCount) {
    this.#rule = rule;
    this.#count = count;
    this.#left = count;
  }

  verdict(time: DateTime, position: number, oldest: boolean): Verdict {
    const { unit, span, bucketOf } = this.#rule;
    if (this.#left === 0) return { gone: unit === 'last' ? `not of the last ${this.#count}` : `${this.#count} ${unit} are newer` };
    const bucket = bucketOf(time, position);
    const again = bucket === this.#last;
    if (again && !oldest) return { gone: `a newer one of its ${span} stays` };
    this.#last = bucket;
    if (this.#left > 0) this.#left--;
    return { kept: again ? `oldest ${unit}` : unit };
  }
}
