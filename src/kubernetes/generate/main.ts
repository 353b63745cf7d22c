import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';
import { RELEASES, TABLE } from '../schema/table.js';
import { readGeneration } from './generation.js';
import { type Release, releaseOf, releasesIn, tableSource } from './table.js';

// Run by `make kubernetes-schema`. CACHE is what test/support/fetch-kubernetes.sh made; OUT is the
// table's file, whose releases are kept where CACHE does not have them.
const [cache, out] = argv.slice(2);
if (cache === undefined || out === undefined) throw new Error('usage: main.ts CACHE OUT');
const kept = new Map(releasesIn(RELEASES, TABLE).map((release) => [release.name, release]));
const madeFrom = readFileSync(out, 'utf8').match(/(?<=^\/\/ {3}).*/gm) ?? [];
const origins = new Map(madeFrom.map((line) => [line.slice(0, line.indexOf(':')), line]));
const releases = new Map<string, Release>(kept);
for (const line of readFileSync(join(cache, 'versions'), 'utf8').trim().split('\n')) {
  const [name = '', directory = '', ...origin] = line.split(' ');
  releases.set(name, releaseOf(readGeneration(name, join(cache, directory))));
  origins.set(name, `${name}: ${origin.join(' ')}`);
}
const lines = [...origins.values()].sort((a, b) => Number(b.split(/[.:]/)[1]) - Number(a.split(/[.:]/)[1]));
writeFileSync(out, tableSource([...releases.values()], lines));
