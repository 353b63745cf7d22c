import { formatKey } from '../convert/key-text.js';
import type { MigrateReport } from '../jobs/migrate.js';
import type { MigrationPlan } from '../jobs/migration-plan.js';
import type { Note } from '../model/note.js';
import { harmless, harmlessLine } from '../model/shown-text.js';
import { formatBytes, formatCount, formatDuration, plural } from './format.js';
import type { MatchedRule } from './migrate-rules.js';
import { table } from './table.js';

/** Bytes a server's backend may have unless it is told otherwise (etcd server/storage/quota.go, DefaultQuotaBytes). */
const DEFAULT_QUOTA = 2 * 2 ** 30;

/** A plan for people: what there is, what becomes of it and by which rule, what stands against it, and what it takes. */
export function planText(report: MigrateReport, plan: MigrationPlan, rules: readonly MatchedRule[]): string {
  const sections = [
    table([], facts(report, plan)),
    rules.length === 0
      ? ''
      : `\nrules that matched\n${indented(
          table(
            [],
            rules.map(({ rule, count, what, byDefault }) => [formatCount(count), what, `${rule}${byDefault ? ' (default)' : ''}`]),
            ['right'],
          ),
        )}`,
    notesText(
      'no place in v3',
      report.notes.filter(({ lossy }) => lossy),
    ),
    notesText(
      'to know',
      report.notes.filter(({ lossy }) => !lossy),
    ),
    cannotTell(report),
    collisionsText(plan),
    inTheWayText(plan),
  ];
  return sections.join('');
}

function facts({ source, to, counts, written }: MigrateReport, { estimate, dbSize }: MigrationPlan): [string, string][] {
  if (counts === undefined) return [];
  const already = written === undefined ? [] : [['already there, equal', formatCount(written.equal)] as [string, string]];
  return [
    ['source', `${source.location} (${source.kind}) at index ${source.revision}`],
    ['target', to],
    ['nodes', `${formatCount(counts.nodes)}, ${plural(counts.directories, 'directory', 'directories')} among them`],
    ['keys they become', `${formatCount(counts.keys)} (${formatBytes(counts.bytes)})`],
    ['leases', formatCount(counts.leases)],
    ...already,
    ['time, about', timeText(estimate.milliseconds)],
    ['space, about', spaceText(estimate.bytes, dbSize)],
  ];
}

export function timeText(milliseconds: number): string {
  return milliseconds < 1000 ? 'less than a second' : formatDuration(milliseconds);
}

export function spaceText(bytes: number, dbSize: bigint | undefined): string {
  if (dbSize === undefined) return formatBytes(bytes);
  const after = Number(dbSize) + bytes;
  const quota = after > DEFAULT_QUOTA ? '; more than the 2 GiB that etcd takes unless --quota-backend-bytes says otherwise' : '';
  return `${formatBytes(bytes)} (the target's file has ${formatBytes(Number(dbSize))} now)${quota}`;
}

/** What nobody but the user can know. */
function cannotTell({ source }: MigrateReport): string {
  if (source.kind !== 'live') return '';
  return '\nnot known\n  hidden nodes: no server lists them; name those there are with --include-hidden, or migrate from a data dir\n';
}

function notesText(head: string, notes: readonly Note[]): string {
  if (notes.length === 0) return '';
  const lines = notes.map(({ count, message, examples }) => [formatCount(count), harmlessLine(message), examples.map(harmless).join(', ')]);
  return `\n${head}\n${indented(lines.map(([count, message, named]) => `${count}  ${message}${named === '' ? '' : ` (${named})`}`).join('\n'))}\n`;
}

function collisionsText({ collisions }: MigrationPlan): string {
  if (collisions.count === 0) return '';
  const named = collisions.examples.map(({ key, paths }) => `${formatKey(key)}: ${paths.map((path) => formatKey(path)).join(', ')}`);
  const more = collisions.count > named.length ? ['…'] : [];
  const head = `COLLISIONS: ${plural(collisions.count, 'key')} that more than one node would become`;
  return `\n${head}\n${indented([...named, ...more].join('\n'))}\n`;
}

function inTheWayText({ inTheWay: { count, keys, reason } }: MigrationPlan): string {
  if (reason !== undefined) return `\nIN THE WAY: ${harmlessLine(reason)}\n`;
  if (count === 0) return '';
  const more = count > keys.length ? ['…'] : [];
  const head = `IN THE WAY: ${plural(count, 'key')} of the target with another value or lease`;
  return `\n${head}\n${indented([...keys.map((key) => formatKey(key)), ...more].join('\n'))}\n`;
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ');
}
