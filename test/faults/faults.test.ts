import { appendFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { etcdVersions, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { byteFaults } from './byte-faults.js';
import { clusterFaults } from './cluster-faults.js';
import { liveGround } from './live.js';
import { migrateFaults } from './migrate-faults.js';
import { networkFaults } from './network-faults.js';
import type { Fault } from './outcome.js';
import { faultRound, processTime } from './round.js';
import { serverFaults } from './server-faults.js';
import { treeGround } from './tree-ground.js';
import { v2Faults } from './v2-faults.js';

/**
 * Faults of every kind, each expected to end with the right exit status, a clear line, nothing
 * half-written and nothing lost. A short round always; `SOAK=1` makes it `SOAK_MINUTES` long (30),
 * `FAULT_SEED` chooses another seed, `FAULT_CASE="name seed"` makes one case again, `FAULT_NAMES` (a
 * regular expression) those faults alone, and what a round did goes to the file `FAULT_LOG` too.
 */
const MINUTES = process.env.SOAK === undefined ? 0 : Number(process.env.SOAK_MINUTES ?? 30);
const SEED = Number(process.env.FAULT_SEED ?? (MINUTES > 0 ? Date.now() % 1e9 : 42));
const directory = temporaryDirectory();

function print(line: string): void {
  console.log(line);
  if (process.env.FAULT_LOG !== undefined) appendFileSync(process.env.FAULT_LOG, `${line}\n`);
}

async function round(faults: readonly Fault[], seed: number, atLeast: number, share: number, clock: () => number): Promise<void> {
  const until = performance.now() + MINUTES * 60_000 * share;
  const { unexpected } = await faultRound(faults, {
    seed,
    until,
    atLeast,
    patience: clock === processTime ? 20_000 : 100_000,
    clock,
    print,
  });
  expect(unexpected).toEqual([]);
}

const timeout = 600_000 + MINUTES * 120_000;

test.skipIf(process.env.FAULT_NAMES !== undefined)('damaged bytes', { timeout }, async () => {
  const work = join(directory, 'bytes');
  mkdirSync(work);
  await round(await byteFaults(work), SEED, 1, 0.5, processTime);
});

/** In the short round one case of each of these, on one etcd; the others have tests of their own in test/e2e. */
const SHORT = /stalled|NOSPACE|clock|disk|one away/;
const CHOSEN = process.env.FAULT_NAMES === undefined ? (MINUTES > 0 ? /^/ : SHORT) : new RegExp(process.env.FAULT_NAMES);

describe.each(MINUTES > 0 ? etcdVersions() : [newestEtcd()])('etcd $version', (etcd) => {
  test('servers, networks, disks and clocks in trouble', { timeout }, async () => {
    const work = join(directory, `live-${etcd.version}`);
    mkdirSync(work);
    const [ground, trees] = await Promise.all([liveGround(work, etcd), treeGround(work, etcd)]);
    try {
      const keys = [...networkFaults(ground), ...serverFaults(ground), ...clusterFaults(ground)];
      const faults = [...keys, ...migrateFaults(trees), ...v2Faults(trees)].filter(({ name }) => CHOSEN.test(name));
      await round(faults, SEED + Number(etcd.minor.replace('.', '')), 1, 0.5 / etcdVersions().length, () => performance.now());
    } finally {
      await Promise.all([ground.source.stop(), trees.source.stop()]);
    }
  });
});
