import { formatKey } from '../convert/key-text.js';
import type { FerryError } from '../errors.js';
import type { KindCount } from '../jobs/check-records.js';
import type { DrillAccount } from '../jobs/drill.js';
import type { VerifyResult } from '../jobs/verify.js';
import type { AgainstAccount, NamedDifference } from '../jobs/verify-against.js';
import { harmless, harmlessLine } from '../model/shown-text.js';
import { formatBytes, formatCount, formatDuration, plural } from './format.js';
import type { Colour, Paint } from './paint.js';
import { table } from './table.js';

type PassedResult = Exclude<VerifyResult, { readonly error: FerryError }>;

/** Differences named on the terminal; JSON names more of them. */
const NAMED = 50;
const SIGNS = { added: '+', removed: '-', changed: '~' } as const;
const COLOURS = { added: 'green', removed: 'red', changed: 'yellow' } as const satisfies Readonly<Record<string, Colour>>;
const UNPAINTED: Paint = (_, text) => text;

/** A location that passed, as a line, and what more there is to say below it. */
export function passedText(result: PassedResult, paint: Paint = UNPAINTED): string {
  const below = [
    ...(result.contents === undefined ? [] : kindsText(result.contents.kinds)),
    ...differencesText(result.drill?.served, paint),
    ...differencesText(result.against, paint),
  ];
  return [`${harmless(result.location)}: ${lineText(result, paint)}`, ...below].join('\n');
}

/** What is wrong with a location, on one line. */
export function failedText({ location, error }: Extract<VerifyResult, { readonly error: FerryError }>, paint: Paint = UNPAINTED): string {
  const { message } = error;
  const wrong = message.startsWith(location) ? message.slice(location.length).replace(/^[: ]+/, '') : message;
  return `${harmless(location)}: ${paint('red', harmlessLine(wrong))}`;
}

function lineText(result: PassedResult, paint: Paint): string {
  return [wholeText(result), ...checkedText(result), ...drillText(result.drill, paint), ...againstText(result.against, paint)].join('; ');
}

function wholeText(result: PassedResult): string {
  if (result.kind === 'stored')
    return `stored bytes as written, ${formatBytes(result.account.size)}; encrypted, and no --identity was given`;
  const info = result.kind === 'archive' ? result.account.header : result.account.source;
  const at = `${info.api === 'v2' ? 'index' : 'revision'} ${info.revision}`;
  if (result.kind !== 'archive') {
    const { records, rawBytes } = result.account;
    const kind = result.kind === 'data-dir' ? `data dir (${info.api})` : 'snapshot file';
    const content = `${kind}, ${plural(records, info.api === 'v2' ? 'node' : 'key')} at ${at}, ${formatBytes(rawBytes)} in them`;
    return result.unproven === undefined
      ? `whole ${content}`
      : `readable ${content}; its SHA-256 was not asked for, so nothing proves it whole`;
  }
  const { account, sample, depth } = result;
  const what = `${plural(account.records, 'record')} at ${at}, ${formatBytes(account.size)}`;
  if (depth === 'account') return `the account holds, of an archive that states ${what}`;
  if (sample === undefined) return `whole archive, ${what}`;
  const part = `part ${sample.part + 1} of ${sample.of}: ${formatCount(sample.segments)} of ${plural(sample.ofSegments, 'segment')}`;
  return `sound in the sample (${part}, ${plural(sample.records, 'record')}), of an archive that states ${what}`;
}

function checkedText({ contents }: PassedResult): string[] {
  if (contents === undefined) return [];
  const encrypted = [
    ...(contents.opened > 0 ? [`${formatCount(contents.opened)} encrypted ones opened`] : []),
    ...(contents.locked > 0 ? [`${formatCount(contents.locked)} stay encrypted`] : []),
  ];
  return [[`${plural(contents.records, 'record')} looked at, ${plural(contents.kinds.length, 'kind')}`, ...encrypted].join(', ')];
}

function kindsText(kinds: readonly KindCount[]): string[] {
  const rows = kinds.map(({ kind, apiVersion, records, bytes }) => [`  ${kind}`, apiVersion, formatCount(records), formatBytes(bytes)]);
  if (rows.length === 0) return [];
  return [table(['  KIND', 'API VERSION', 'RECORDS', 'BYTES'], rows, ['left', 'left', 'right', 'right']).trimEnd()];
}

function drillText(drill: DrillAccount | undefined, paint: Paint): string[] {
  if (drill === undefined) return [];
  const { etcdVersion, restoredWith, served, milliseconds } = drill;
  const { added, removed, changed, equal } = served.counts;
  const how = `by ${restoredWith} into etcd ${harmless(etcdVersion)}, in ${formatDuration(milliseconds)}`;
  if (!served.differ) return [`restored ${how}: all ${plural(equal, 'key')} served, with revisions and leases`];
  return [
    `restored ${how}, which serves ${paint('red', 'SOMETHING ELSE')}: ${formatCount(added)} more, ${formatCount(removed)} missing, ${formatCount(changed)} changed, ${formatCount(equal)} equal`,
  ];
}

function againstText(against: AgainstAccount | undefined, paint: Paint): string[] {
  if (against === undefined) return [];
  const { other, at, counts, differ } = against;
  const { added, removed, changed, equal } = counts;
  const where = `${harmless(other.location)} at ${other.api === 'v2' ? 'index' : 'revision'} ${other.revision}`;
  const latest = at === 'latest' && other.kind !== 'archive' ? ', its latest' : '';
  if (!differ) return [`the same as ${where}${latest}, ${plural(equal, other.api === 'v2' ? 'node' : 'key')} equal`];
  return [
    `${paint('yellow', 'DIFFERS')} from ${where}${latest}: ${formatCount(added)} only there, ${formatCount(removed)} only here, ${formatCount(changed)} changed, ${formatCount(equal)} equal`,
  ];
}

function differencesText(against: AgainstAccount | undefined, paint: Paint): string[] {
  if (against === undefined) return [];
  const named = against.differences.slice(0, NAMED).map((each) => differenceText(each, paint));
  const { added, removed, changed } = against.counts;
  const more = added + removed + changed - named.length;
  return more > 0 ? [...named, `  … ${plural(more, 'more')}`.replace(/mores$/, 'more')] : named;
}

function differenceText({ kind, key, parts }: NamedDifference, paint: Paint): string {
  const only = parts.length === 1 && parts[0] === 'value' ? '' : parts.length === 0 ? '' : ` (${parts.join(', ')})`;
  return `  ${paint(COLOURS[kind], `${SIGNS[kind]} ${formatKey(key)}`)}${only}`;
}
