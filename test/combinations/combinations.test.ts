import { expect, test } from 'vitest';
import { etcdVersions } from '../support/etcd.js';
import { startGround } from './ground.js';
import { combinations } from './run.js';

/**
 * Random sources, commands and targets on real etcds, held to a model (see model.ts). A short round of the same combinations
 * always; with `SOAK=1` as many as fit into `SOAK_MINUTES` (30), from a random seed that is printed. `COMBINATION_SEED` chooses the
 * first, `COMBINATIONS` how many.
 */
const MINUTES = process.env.SOAK === undefined ? 0 : Number(process.env.SOAK_MINUTES ?? 30);
const SEED = Number(process.env.COMBINATION_SEED ?? (MINUTES > 0 ? Date.now() % 1e9 : 1));
const COUNT = Number(process.env.COMBINATIONS ?? (MINUTES > 0 ? Number.POSITIVE_INFINITY : 60));

test('every combination of a source, a command and a target ends as the model says', { timeout: 600_000 + MINUTES * 120_000 }, async () => {
  await using ground = await startGround(etcdVersions());
  const until = MINUTES > 0 ? performance.now() + MINUTES * 60_000 : Number.POSITIVE_INFINITY;
  const failures = await combinations(ground, { seed: SEED, count: COUNT, until, print: (text) => console.log(text) });
  expect(failures).toEqual([]);
});
