import { formatKey } from '../convert/key-text.js';
import type { PrefixCounts } from '../convert/v2-counts.js';
import type { MigrateReport } from '../jobs/migrate.js';
import type { MigrationPlan } from '../jobs/migration-plan.js';
import type { MigrationProof } from '../jobs/migration-proof.js';
import { isProven } from '../jobs/migration-verdict.js';
import type { Note } from '../model/note.js';
import { formatBytes, formatCount, formatDuration, plural } from './format.js';
import { type Html, html, NOTHING } from './html.js';
import { hexId } from './json.js';
import { STYLE } from './migrate-html-style.js';
import { usersSection } from './migrate-html-users.js';
import { spaceText, timeText as timeNeeded } from './migrate-plan-text.js';
import { type RunFacts, strayText, type Verdict, verdictOf, WHAT } from './migrate-report.js';
import type { MatchedRule } from './migrate-rules.js';

const PREFIXES_SHOWN = 20;
const PHASE_COLOURS = 5;

/** What a page shows of a migration. */
export interface MigrationPage {
  readonly report: MigrateReport;
  readonly facts: RunFacts;
  readonly rules: readonly MatchedRule[];
}

const WORDS: Readonly<Record<Verdict, string>> = {
  complete: 'Complete',
  'left-out': 'Complete, with something left out',
  differs: 'The target differs',
  planned: 'A plan: nothing was written',
};

/**
 * A migration's report as a page of its own: no script, nothing loaded from elsewhere, and whatever
 * came from the source escaped.
 */
export function migrationPage(page: MigrationPage): string {
  const { report, facts, rules } = page;
  const sections = [
    tiles(report),
    report.plan === undefined ? NOTHING : planSection(report.plan),
    prefixSection(report),
    notesSection(report.notes),
    report.proof === undefined ? unprovenSection(report) : proofSection(report.proof),
    usersSection(report.auth),
    rulesSection(rules),
    durationsSection(report),
    runSection(page),
  ];
  const verdict = verdictOf(report);
  const body = html`<main>
${verdictBox(report, verdict)}
${sections}
<footer>etcdferry ${facts.toolVersion}, ${timeText(facts.startedAt)}</footer>
</main>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${html`Migration to v3: ${WORDS[verdict]}`.text}</title><style>${STYLE}</style></head>
<body>${body.text}</body></html>
`;
}

function verdictBox(report: MigrateReport, verdict: Verdict): Html {
  const { source, to } = report;
  return html`<header class="verdict ${verdict}"><p class="word">${WORDS[verdict]}</p><h1>${headline(report, verdict)}</h1>
<p class="route">from <code>${source.location}</code> at index ${source.revision} to <code>${to}</code></p></header>`;
}

function headline(report: MigrateReport, verdict: Verdict): string {
  const { proof, keys, notes } = report;
  const lost = notes.filter(({ lossy }) => lossy).reduce((sum, { count }) => sum + count, 0);
  if (verdict === 'differs' && proof !== undefined) {
    const parts = [
      ...(proof.differing > 0 ? [plural(proof.differing, 'key')] : []),
      ...(proof.strayLeases > 0 ? [plural(proof.strayLeases, 'lease')] : []),
    ];
    return `${parts.join(' and ')} in the target ${proof.differing + proof.strayLeases === 1 ? 'is' : 'are'} not as in the source`;
  }
  if (report.plan !== undefined) return planHeadline(report.plan, keys);
  if (keys === 0) return 'The source gave no keys: there was nothing to carry over';
  const proven = proof === undefined ? 'written; the target was not read back' : 'in the target, read back and compared';
  const left = lost === 0 ? '' : `; ${plural(lost, 'node')} left out or altered`;
  return `${plural(keys, 'key')} ${proven}${left}`;
}

function planHeadline({ collisions, inTheWay }: MigrationPlan, keys: number): string {
  if (collisions.count > 0) return `Two nodes would become one key, ${plural(collisions.count, 'time')}`;
  if (inTheWay.reason !== undefined) return inTheWay.reason;
  return inTheWay.count > 0 ? `${plural(inTheWay.count, 'key')} of the target in the way` : `${plural(keys, 'key')} would be written`;
}

function planSection({ collisions, inTheWay, estimate, dbSize }: MigrationPlan): Html {
  const colliding = collisions.examples.map(
    ({ key, paths }) =>
      html`<li><code>${formatKey(key)}</code> <span class="tag bad">collision</span> ${paths.map((path) => html`<code>${formatKey(path)}</code> `)}</li>`,
  );
  const standing = inTheWay.keys.map((key) => html`<li><code>${formatKey(key)}</code> <span class="tag bad">in the way</span></li>`);
  const stops = [...colliding, ...standing];
  return html`<section><h2>What it would take</h2>${definitions([
    ['time, about', timeNeeded(estimate.milliseconds)],
    ['space, about', spaceText(estimate.bytes, dbSize)],
  ])}${stops.length === 0 ? NOTHING : html`<h2 style="margin-top:20px">What stands against it</h2><ul>${stops}</ul>`}</section>`;
}

function tiles({ counts, keys, written, proof, plan }: MigrateReport): Html {
  const left = counts?.prefixes.reduce((sum, { leftOut }) => sum + leftOut, 0) ?? 0;
  const figures: (readonly [string, string])[] = [
    [formatCount(counts?.nodes ?? 0), 'nodes in the tree'],
    [formatCount(keys), plan === undefined ? 'keys they became' : 'keys they would become'],
    [formatBytes(counts?.bytes ?? 0), 'of keys and values'],
    [formatCount(counts?.leases ?? 0), 'leases for TTLs'],
    ...(written === undefined || !('overwritten' in written) ? [] : alreadyThere(written)),
    [formatCount(left), 'nodes left out'],
    ...(proof === undefined ? [] : [[formatCount(proof.equal), 'keys read back the same'] as const]),
  ];
  return html`<div class="tiles">${figures.map(([figure, what]) => html`<div class="tile"><b>${figure}</b><span>${what}</span></div>`)}</div>`;
}

function alreadyThere({ equal, overwritten, skipped }: { readonly equal: number; readonly overwritten: number; readonly skipped: number }) {
  const all: (readonly [number, string])[] = [
    [equal, 'keys already there'],
    [overwritten, 'keys overwritten'],
    [skipped, 'keys skipped'],
  ];
  return all.filter(([count]) => count > 0).map(([count, what]) => [formatCount(count), what] as const);
}

function prefixSection({ counts, plan }: MigrateReport): Html {
  if (counts === undefined || counts.prefixes.length === 0) return NOTHING;
  const largestFirst = [...counts.prefixes].filter(({ prefix }) => prefix.length > 0).sort((a, b) => b.nodes - a.nodes);
  const shown = largestFirst.slice(0, PREFIXES_SHOWN);
  const rest = [...largestFirst.slice(PREFIXES_SHOWN), ...counts.prefixes.filter(({ prefix }) => prefix.length === 0)];
  const most = Math.max(...shown.map(({ keys, leftOut }) => keys + leftOut), 1);
  const others = rest.reduce((sum, each) => added(sum, each), { prefix: Buffer.alloc(0), nodes: 0, keys: 0, bytes: 0, leftOut: 0 });
  return html`<section><h2>${plan === undefined ? 'What went where' : 'What would go where'}</h2>
<p class="legend"><span><i style="background:var(--keys)"></i>keys</span><span><i style="background:var(--left)"></i>nodes left out</span></p>
${shown.map((each) => barRow(each, most))}
${rest.length === 0 ? NOTHING : html`<div class="bar-row"><span class="soft">everything else</span><span></span>${figuresOf(others)}</div>`}</section>`;
}

function added(sum: PrefixCounts, { nodes, keys, bytes, leftOut }: PrefixCounts): PrefixCounts {
  return { ...sum, nodes: sum.nodes + nodes, keys: sum.keys + keys, bytes: sum.bytes + bytes, leftOut: sum.leftOut + leftOut };
}

function barRow(counts: PrefixCounts, most: number): Html {
  const part = (count: number, kind: string): Html =>
    count === 0 ? NOTHING : html`<i class="${kind}" style="width:${((count / most) * 100).toFixed(2)}%"></i>`;
  return html`<div class="bar-row"><code>${formatKey(counts.prefix)}</code>
<span class="bar" aria-hidden="true">${part(counts.keys, 'keys')}${part(counts.leftOut, 'left')}</span>${figuresOf(counts)}</div>`;
}

function figuresOf({ keys, bytes, leftOut }: PrefixCounts): Html {
  const left = leftOut === 0 ? NOTHING : html` <span class="left">+ ${formatCount(leftOut)} left out</span>`;
  return html`<span class="figures"><b>${plural(keys, 'key')}</b>, ${formatBytes(bytes)}${left}</span>`;
}

function notesSection(notes: readonly Note[]): Html {
  if (notes.length === 0) return html`<section><h2>What was left out, and why</h2><p>Nothing was left out or altered.</p></section>`;
  const lostFirst = [...notes].sort((a, b) => Number(b.lossy) - Number(a.lossy));
  return html`<section><h2>What was left out or altered, and why</h2><ul>${lostFirst.map(noteItem)}</ul></section>`;
}

function noteItem({ message, count, examples, lossy, code }: Note): Html {
  const tag = lossy ? html`<span class="tag lost">left out or altered</span>` : html`<span class="tag">note</span>`;
  const more = count > examples.length ? html` …` : NOTHING;
  const shown = examples.map((example) => html`<code>${example}</code> `);
  return html`<li class="note" id="note-${code}"><b>${formatCount(count)}</b><span>${message} ${tag}</span>
${examples.length === 0 ? NOTHING : html`<span class="examples">${shown}${more}</span>`}</li>`;
}

function unprovenSection({ dryRun }: MigrateReport): Html {
  if (dryRun) return NOTHING;
  return html`<section><h2>Proof</h2><p>The target was not read back: there is no proof of what it holds.</p></section>`;
}

function proofSection(proof: MigrationProof): Html {
  const good = isProven(proof);
  const facts: (readonly [string, string])[] = [
    ['keys compared', formatCount(proof.keys)],
    ['the same', formatCount(proof.equal)],
    ...(proof.expired > 0 ? [['expired meanwhile', formatCount(proof.expired)] as const] : []),
    ...(proof.skipped > 0 ? [['left as the target has them', formatCount(proof.skipped)] as const] : []),
    ['different', formatCount(proof.differing)],
    ...(proof.revision > 0n ? [['read at revision', formatCount(proof.revision)] as const] : []),
    ...(proof.furthestEnd === undefined
      ? []
      : [['a lease ends at most', `${Math.abs(proof.furthestEnd).toFixed(1)} s from its time`] as const]),
  ];
  const tag = good ? html`<span class="tag good">every key is as in the source</span>` : html`<span class="tag bad">differs</span>`;
  const keys = proof.differences.map(
    ({ key, what }) => html`<li><code>${formatKey(key)}</code> <span class="tag bad">${WHAT[what]}</span></li>`,
  );
  const leases = proof.strays.map(
    ({ id, seconds }) => html`<li>lease <code>${hexId(id)}</code> <span class="tag bad">${strayText(seconds)}</span></li>`,
  );
  const named = [...keys, ...leases];
  return html`<section><h2>Proof ${tag}</h2>${definitions(facts)}
${named.length === 0 ? NOTHING : html`<h2 style="margin-top:20px">What differs</h2><ul>${named}</ul>`}</section>`;
}

function rulesSection(rules: readonly MatchedRule[]): Html {
  if (rules.length === 0) return NOTHING;
  const item = ({ rule, byDefault, what, count }: MatchedRule): Html =>
    html`<li class="note"><b>${formatCount(count)}</b><span>${what} <code>${rule}</code>${byDefault ? html` <span class="tag">default</span>` : NOTHING}</span></li>`;
  return html`<section><h2>Rules that matched</h2><ul>${rules.map(item)}</ul></section>`;
}

function durationsSection({ durations = [] }: MigrateReport): Html {
  const total = durations.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  if (total === 0) return NOTHING;
  const colour = (i: number): string => `background:var(--p${i % PHASE_COLOURS})`;
  const parts = durations.map(
    ({ milliseconds }, i) => html`<i style="width:${((milliseconds / total) * 100).toFixed(2)}%;${colour(i)}"></i>`,
  );
  const legend = durations.map(
    ({ phase, milliseconds }, i) => html`<span><i style="${colour(i)}"></i>${phase} ${formatDuration(milliseconds)}</span>`,
  );
  return html`<section><h2>Where the time went</h2><span class="bar" aria-hidden="true">${parts}</span>
<p class="legend" style="margin:12px 0 0">${legend}</p></section>`;
}

function runSection({ report, facts }: MigrationPage): Html {
  const { source, to, written, archive, snapshot } = report;
  const size = archive?.size ?? snapshot?.bytes;
  return html`<section><h2>The run</h2>${definitions([
    ['source', `${source.location} (${source.kind})`],
    ...(source.clusterId === undefined ? [] : [['cluster', hexId(source.clusterId)] as const]),
    ...(source.serverVersion === undefined ? [] : [['server', `etcd ${source.serverVersion}`] as const]),
    ['index', String(source.revision)],
    ['target', to],
    ...(written === undefined || !('leasesGranted' in written) ? [] : [['leases granted', formatCount(written.leasesGranted)] as const]),
    ...(size === undefined ? [] : [['size of the file', formatBytes(size)] as const]),
    ['began', timeText(facts.startedAt)],
    ['took', formatDuration(facts.milliseconds)],
  ])}</section>`;
}

function definitions(pairs: readonly (readonly [string, string])[]): Html {
  return html`<dl>${pairs.map(([what, value]) => html`<dt>${what}</dt><dd>${value}</dd>`)}</dl>`;
}

function timeText(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
