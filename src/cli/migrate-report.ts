import { formatKey } from '../convert/key-text.js';
import { worstExit } from '../errors.js';
import type { MigrateReport } from '../jobs/migrate.js';
import type { MigrationPlan } from '../jobs/migration-plan.js';
import type { MigrationProof } from '../jobs/migration-proof.js';
import { isProven } from '../jobs/migration-verdict.js';
import type { AuthData, Permission } from '../model/auth.js';
import { harmless } from '../model/shown-text.js';
import { prefixEnd } from '../selection/prefix.js';
import { formatBytes, formatCount, formatDuration, plural } from './format.js';
import { archiveJson, bytesField, hexId, notesJson, snapshotJson } from './json.js';
import { exitOfNotes } from './notes.js';
import { writtenText } from './written.js';

/** What a migration came to, in one word. */
export type Verdict = 'complete' | 'left-out' | 'differs' | 'planned';

/** What is told of a run beside what the job reports. */
export interface RunFacts {
  readonly milliseconds: number;
  /** When it began, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  readonly toolVersion: string;
}

export function verdictOf(report: MigrateReport): Verdict {
  if (report.proof !== undefined && !isProven(report.proof)) return 'differs';
  if (report.dryRun) return 'planned';
  return report.notes.some(({ lossy }) => lossy) ? 'left-out' : 'complete';
}

/**
 * 4 when the target differs, 3 when something was left out against the user's wish, else 0; of a plan
 * what carrying it out would come to: 2 with collisions, 11 with something in the way.
 */
export function exitOfMigration(report: MigrateReport): number {
  const { plan } = report;
  const stops = plan === undefined ? [] : [plan.collisions.count > 0 ? 2 : 0, isInTheWay(plan) ? 11 : 0];
  return worstExit([...stops, verdictOf(report) === 'differs' ? 4 : 0, exitOfNotes(report.notes)]);
}

function isInTheWay({ inTheWay: { count, reason } }: MigrationPlan): boolean {
  return count > 0 || reason !== undefined;
}

/** The one line that says what was done. */
export function summaryOf(report: MigrateReport, { milliseconds }: RunFacts): string {
  const { source, archive, written, snapshot, keys } = report;
  const back = source.api === 'v3';
  const what = back ? 'node' : 'key';
  const from = `${harmless(source.location)} at ${back ? 'revision' : 'index'} ${source.revision}`;
  const took = `(${formatDuration(milliseconds)})`;
  if (written !== undefined) return `${from} to ${harmless(report.to)}: ${writtenText(written, what)} ${took}`;
  const bytes = archive?.size ?? snapshot?.bytes;
  const size = bytes === undefined ? '' : `, ${formatBytes(bytes)}`;
  return `${from} to ${harmless(report.to)}: ${report.dryRun ? 'would write' : 'wrote'} ${plural(keys, what)}${size} ${took}`;
}

/** What a target's records are called, and the moment they are read at. */
interface ProofWords {
  readonly record: 'key' | 'node';
  readonly moment: 'revision' | 'index';
}

export const KEY_WORDS: ProofWords = { record: 'key', moment: 'revision' };
export const TREE_WORDS: ProofWords = { record: 'node', moment: 'index' };

/** What reading the target back has shown, in one line. */
export function proofText(proof: MigrationProof, { record, moment }: ProofWords = KEY_WORDS): string {
  const { keys, equal, expired, skipped, differing, revision, strayLeases } = proof;
  const at = revision > 0n ? ` at ${moment} ${revision}` : '';
  const rest = [
    ...(expired > 0 ? [`${formatCount(expired)} expired meanwhile`] : []),
    ...(skipped > 0 ? [`${formatCount(skipped)} left as the target has them`] : []),
  ];
  if (isProven(proof)) {
    if (keys === 0) return `read back${at}: the source gave no ${record}s, so there was nothing to prove`;
    const all = rest.length === 0 ? `all ${plural(keys, record)}` : `${formatCount(equal)} of ${plural(keys, record)}`;
    return `proven: ${[`read back${at}, ${all} ${keys === 1 ? 'is' : 'are'} as in the source`, ...rest].join(', ')}${endsText(proof)}`;
  }
  const named = proof.differences
    .slice(0, 5)
    .map(({ key, what }) => `${formatKey(key)} (${record === 'node' && what === 'lease' ? 'another end' : WHAT[what]})`);
  const strays = proof.strays.slice(0, 5).map(({ id, seconds }) => `lease ${hexId(id)} (${strayText(seconds)})`);
  const counts = [
    ...(differing > 0 ? [`${formatCount(differing)} of ${plural(keys, record)}`] : []),
    ...(strayLeases > 0 ? [plural(strayLeases, 'lease')] : []),
  ];
  return `DIFFERS: read back${at}, ${counts.join(' and ')} are not as in the source: ${[...named, ...strays].join(', ')}`;
}

export const WHAT = { missing: 'missing', value: 'another value', lease: 'another lease' } as const;

export function strayText(seconds: number | undefined): string {
  if (seconds === undefined) return 'not there';
  return `ends ${Math.abs(Math.round(seconds))} s ${seconds > 0 ? 'later' : 'earlier'}`;
}

function endsText({ furthestEnd }: MigrationProof): string {
  return furthestEnd === undefined ? '' : `; leases end within ${(Math.ceil(Math.abs(furthestEnd) * 10) / 10).toFixed(1)} s of their time`;
}

/** The document that `migrate --json` prints, and that `--report FILE.json` holds. */
export function migrationJson(report: MigrateReport, facts: RunFacts): object {
  const { source, written, archive, snapshot, auth, proof, durations } = report;
  const { notes: _, ...counts } = written ?? { notes: [] };
  const v2 = source.api === 'v2';
  return {
    schema: 'etcdferry.migrate/v1',
    dryRun: report.dryRun,
    ...(v2 ? { verdict: verdictOf(report) } : {}),
    source: {
      kind: source.kind,
      location: source.location,
      [v2 ? 'index' : 'revision']: source.revision,
      ...(source.clusterId === undefined ? {} : { clusterId: hexId(source.clusterId) }),
    },
    to: report.to,
    [v2 ? 'keys' : 'nodes']: report.keys,
    ...(written === undefined ? {} : { written: counts }),
    ...(archive === undefined ? {} : { archive: archiveJson(archive, report.to) }),
    ...(snapshot === undefined ? {} : { snapshot: snapshotJson(snapshot, report.to) }),
    ...treeJson(report),
    ...(auth === undefined ? {} : { auth: authJson(auth) }),
    ...(report.plan === undefined ? {} : { plan: planJson(report.plan) }),
    ...(proof === undefined ? {} : { proof: proofJson(proof) }),
    startedAt: new Date(facts.startedAt).toISOString(),
    seconds: seconds(facts.milliseconds),
    ...(durations === undefined
      ? {}
      : { durations: durations.map(({ phase, milliseconds }) => ({ phase, seconds: seconds(milliseconds) })) }),
    notes: notesJson(report.notes),
  };
}

function treeJson({ counts }: MigrateReport): object {
  if (counts === undefined) return {};
  const { prefixes, mapped: _, keys: __, ...tree } = counts;
  return { tree: { ...tree, prefixes: prefixes.map(({ prefix, ...rest }) => ({ ...bytesField('prefix', prefix), ...rest })) } };
}

function planJson({ madeAt, collisions, inTheWay, estimate, dbSize }: MigrationPlan): object {
  const { keys, ...way } = inTheWay;
  return {
    madeAt: new Date(madeAt).toISOString(),
    collisions: {
      count: collisions.count,
      examples: collisions.examples.map(({ key, paths }) => ({
        ...bytesField('key', key),
        paths: paths.map((path) => bytesField('path', path)),
      })),
    },
    inTheWay: { ...way, examples: keys.map((key) => bytesField('key', key)) },
    estimate: { seconds: seconds(estimate.milliseconds), bytes: estimate.bytes, ...(dbSize === undefined ? {} : { dbSize }) },
  };
}

function proofJson({ differences, strays, furthestEnd, ...proof }: MigrationProof): object {
  return {
    ...proof,
    ...(furthestEnd === undefined ? {} : { furthestEnd: Math.round(furthestEnd * 1000) / 1000 }),
    differences: differences.map(({ key, what }) => ({ ...bytesField('key', key), what })),
    strays: strays.map(({ id, seconds: apart }) => ({ lease: hexId(id), ...(apart === undefined ? {} : { seconds: apart }) })),
  };
}

/** Users and roles without their passwords; what a role may do as v2 patterns. */
export function authJson(auth: AuthData): object {
  return {
    ...(auth.enabled === undefined ? {} : { enabled: auth.enabled }),
    users: auth.users.map(({ name, roles }) => ({ name, roles })),
    roles: auth.roles.map(({ name, permissions }) => ({
      name,
      permissions: permissions.map((permission) => ({ type: permission.type, pattern: patternOf(permission) })),
    })),
  };
}

/** A permission's range as v2 spells it: `/app/*` for a prefix. */
export function patternOf({ key, rangeEnd }: Permission): string {
  if (rangeEnd.length === 0) return formatKey(key);
  if (key.equals(rangeEnd) && key.length === 1 && key[0] === 0) return '*';
  return prefixEnd(key)?.equals(rangeEnd) === true ? `${formatKey(key)}*` : `${formatKey(key)} to ${formatKey(rangeEnd)}`;
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds) / 1000;
}
