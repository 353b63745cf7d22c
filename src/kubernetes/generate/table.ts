import type { Generation } from './generation.js';
import { messagesOf, shortName } from './messages.js';

/** One release's messages by package: `core/v1` → rows without their generations (`Pod!\t1=…`). */
export interface Release {
  /** `1.36`. */
  readonly name: string;
  readonly packages: ReadonlyMap<string, ReleasePackage>;
}

interface ReleasePackage {
  /** API group; `-` for a package of helpers. */
  readonly group: string;
  readonly rows: ReadonlySet<string>;
}

/** @returns the release as the table has it */
export function releaseOf(generation: Generation): Release {
  const packages = new Map<string, { group: string; rows: Set<string> }>();
  for (const [path, group] of generation.packages)
    packages.set(shortName(`${path}.`).slice(0, -1), { group: group ?? '-', rows: new Set() });
  for (const message of messagesOf(generation).values()) {
    const dot = message.name.lastIndexOf('.');
    packages.get(message.name.slice(0, dot))?.rows.add(`${message.name.slice(dot + 1)}${message.isKind ? '!' : ''}\t${message.text}`);
  }
  return { name: generation.name, packages };
}

/** Reads releases back from a table, so that those not read anew are kept. */
export function releasesIn(names: readonly string[], table: readonly string[]): Release[] {
  return names.map((name, index) => {
    const packages = new Map<string, ReleasePackage>();
    for (const text of table) {
      const [head = '', ...lines] = text.split('\n');
      const [short = '', group = ''] = head.split(' ');
      const rows = lines
        .map((line) => /^(\S+) (\S+)(?: (.*))?$/.exec(line) ?? [])
        .filter(([, , digits = '']) => digits.includes(index.toString(36)))
        .map(([, message, , fields = '']) => `${message}\t${fields}`);
      if (rows.length > 0) packages.set(short, { group, rows: new Set(rows) });
    }
    return { name, packages };
  });
}

/**
 * Merges releases into the text of schema/table.ts. A message that is the same in several has one
 * row; where they differ each keeps its own, so that no field number is ever read with another
 * release's meaning.
 *
 * @param madeFrom what the releases were read from, a line each
 */
export function tableSource(given: readonly Release[], madeFrom: readonly string[]): string {
  const releases = fillGaps([...given].sort((a, b) => minor(b) - minor(a)));
  const packages = new Map<string, { group: string; rows: Map<string, string> }>();
  for (const [index, release] of releases.entries()) {
    for (const [short, { group, rows }] of release.packages) {
      const entry = packages.get(short) ?? { group, rows: new Map() };
      packages.set(short, entry);
      for (const row of rows) entry.rows.set(row, (entry.rows.get(row) ?? '') + index.toString(36));
    }
  }
  const lines = [...packages]
    .filter(([, { rows }]) => rows.size > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([short, { group, rows }]) => `  ${JSON.stringify([`${short} ${group}`, ...rowLines(rows)].join('\n'))},`);
  return [
    '// Made by `make kubernetes-schema`; not to be edited. From the Go type declarations in',
    ...madeFrom.map((line) => `//   ${line}`),
    '// (Copyright The Kubernetes Authors, Apache-2.0). How a row is read: schema.ts.',
    '',
    '/** Kubernetes releases, newest first; a base-36 digit in a row is an index into this. */',
    '// biome-ignore format: generated',
    `export const RELEASES: readonly string[] = [${releases.map((release) => `'${release.name}'`).join(', ')}];`,
    '',
    '/** A package each: its name and API group, then a row per message and set of releases. */',
    '// biome-ignore format: a package a line',
    'export const TABLE: readonly string[] = [',
    ...lines,
    '];',
    '',
  ].join('\n');
}

/**
 * A package that only some releases were read with (it lives in a repository of its own) stands in
 * the others as in the nearest newer one, or else the nearest older one.
 */
function fillGaps(releases: readonly Release[]): Release[] {
  const separate = [...new Set(releases.flatMap((release) => [...release.packages.keys()]))].filter((short) =>
    /^(apiextensions|apiregistration|audit|metrics|custom_metrics|external_metrics)\//.test(short),
  );
  return releases.map((release, index) => {
    const packages = new Map(release.packages);
    for (const short of separate) {
      const newerFirst = [...releases.slice(0, index + 1).reverse(), ...releases.slice(index + 1)];
      const found = newerFirst.find((other) => other.packages.has(short))?.packages.get(short);
      if (found !== undefined) packages.set(short, found);
    }
    return { name: release.name, packages };
  });
}

function rowLines(rows: ReadonlyMap<string, string>): string[] {
  return [...rows].map(([row, digits]) => row.replace('\t', ` ${digits} `).trimEnd()).sort((a, b) => (a < b ? -1 : 1));
}

function minor(release: Release): number {
  return Number(release.name.split('.')[1]);
}
