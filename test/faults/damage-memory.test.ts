import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { rewritten } from '../archive/samples.js';
import { temporaryDirectory } from '../support/temp.js';
import { FORGED_SAY } from './damage-expected.js';
import { FORGED, type Make } from './damage-table.js';
import { key, ZSTD_BOMBS } from './damaged-archives.js';
import { expectClear } from './outcome.js';
import { faultRun } from './run.js';

/**
 * What is made to take memory takes less than 300 MiB, in a process of its own (`faultRun` throws
 * otherwise): bombs, and more entries than any archive has.
 */
const path = join(temporaryDirectory(), 'large.tar');
const exits = new Map(FORGED_SAY.map(([name, exit]) => [name, exit]));
const large: [string, Make, number][] = [
  ...Object.entries(FORGED)
    .filter(([name]) => /bomb|entries that/.test(name))
    .map(([name, make]): [string, Make, number] => [name, make, exits.get(name) as number]),
  ...Object.entries(ZSTD_BOMBS).map(([name, make]): [string, Make, number] => [name, make, 12]),
];

test.each(large)('%s', async (name, make, exit) => {
  writeFileSync(path, await make());
  const run = await faultRun(['inspect', path]);
  expectClear(run, [exit], name);
});

test('a manifest of 130,000 entries that are all there', async () => {
  const extras = Array.from({ length: 130_000 }, (_, i) => ({ name: `x-${i}`, content: Buffer.alloc(0) }));
  writeFileSync(path, await rewritten(key, { entries: (all) => [...all, ...extras] }));
  expect(await faultRun(['inspect', path])).toMatchObject({ exit: 0 });
});
