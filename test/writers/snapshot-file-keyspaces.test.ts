import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { quietRun } from '../../src/model/run.js';
import { createFile } from '../../src/storage/file.js';
import { writeSnapshotFile } from '../../src/writers/snapshot-file.js';
import { etcdVersions } from '../support/etcd.js';
import { snapshotStatus } from '../support/restore-file.js';
import { comparable, keyValuesOf, snapshotSource } from '../support/snapshots.js';
import { sourceOf } from '../support/source.js';

const dir = mkdtempSync(join(tmpdir(), 'keyspaces-'));
afterAll(() => rmSync(dir, { recursive: true }));

const LONG = process.env.SOAK !== undefined;
const KIB = 1024;
const MIB = 1024 * KIB;
/** Of all values together: a keyspace of many keys has small ones. */
const MOST_BYTES = 48 * MIB;
const REVISION = 1n << 21n;

/** What a keyspace is made of; the keys and values themselves follow from the seed. */
interface Shape {
  readonly keys: number;
  /** Of the largest values, in bytes. */
  readonly largest: number;
  /** How many bits of a mod revision are left away: with many, transactions are large. */
  readonly coarse: number;
  readonly seed: number;
  readonly pageSize: 4096 | 16384;
  readonly sortBudget: number;
}

const shape: fc.Arbitrary<Shape> = fc.record({
  keys: fc.oneof(fc.nat(5), fc.nat(300), fc.nat(LONG ? 50_000 : 5_000)),
  largest: fc.oneof(fc.constantFrom(0, 1, 4 * KIB, 16 * KIB, 2 * MIB), fc.nat(2 * MIB)),
  coarse: fc.constantFrom(0, 5, 10, 20),
  seed: fc.nat(),
  pageSize: fc.constantFrom(4096 as const, 16384 as const),
  sortBudget: fc.constantFrom(1, 8 * MIB),
});

/** Distinct keys of 1 to 60 bytes, in no order; most values are small, one in eight as large as it may be. */
function keyspace({ keys, largest, coarse, seed }: Shape): KeyValue[] {
  const next = random(seed);
  const found = new Map<string, KeyValue>();
  let bytes = 0;
  for (let i = 0; i < keys; i++) {
    const key = Buffer.alloc(1 + (next() % 56));
    for (let at = 0; at < key.length; at++) key[at] = next();
    const number = Buffer.alloc(4);
    number.writeUInt32BE(i);
    const limit = next() % 8 === 0 ? largest : Math.min(largest, 300);
    const size = bytes > MOST_BYTES ? 0 : next() % (limit + 1);
    bytes += size;
    const modRevision = BigInt(((next() % (1 << 20)) >> coarse) + 2);
    const one = { key: Buffer.concat([key, number]), value: Buffer.alloc(size, i), createRevision: modRevision - 1n, modRevision };
    found.set(one.key.toString('hex'), { ...one, version: BigInt(1 + (i % 3)), lease: BigInt(i % 2) });
  }
  return [...found.values()];
}

/** A linear congruential generator (Numerical Recipes), its higher bits. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
}

/** Through writer and reader, and past the checks of both etcds: `snapshot status` looks at every page. */
async function goesThrough(made: Shape): Promise<void> {
  const records = keyspace(made);
  const source = sourceOf(records);
  const path = join(dir, 'any.db');
  const sink = await createFile(path, { overwrite: true });
  const { pageSize, sortBudget } = made;
  const at = { ...source, info: { ...source.info, revision: REVISION } };
  const report = await writeSnapshotFile(at, sink, { tmpDir: dir, pageSize, sortBudget }, quietRun());
  expect(report.records).toBe(records.length);
  const read = await snapshotSource(readFileSync(path), { sortBudget });
  const sorted = [...records].sort((a, b) => Buffer.compare(a.key, b.key));
  expect(comparable(await keyValuesOf(read))).toEqual(comparable(sorted));
  expect(read.info.revision).toBe(REVISION);
  await read.close();
  const newest = records.reduce((most, { modRevision }) => (modRevision > most ? modRevision : most), 0n);
  for (const etcd of etcdVersions()) {
    // Beside the keys there are the two compaction revisions, and our mark.
    expect(await snapshotStatus(etcd, path), etcd.version).toMatchObject({ totalKey: records.length + 3, revision: Number(newest) });
  }
}

describe('any keyspace is what the reader reads back, and whole to etcd', () => {
  const any = { coarse: 5, seed: 7, sortBudget: 8 * MIB };

  test.each([
    { ...any, keys: 0, largest: 0, pageSize: 4096 as const },
    { ...any, keys: 0, largest: 0, pageSize: 16384 as const },
    { ...any, keys: 50_000, largest: 40, pageSize: 4096 as const },
    { ...any, keys: 50_000, largest: 40, pageSize: 16384 as const, sortBudget: 1 },
    { ...any, keys: 60, largest: 2 * MIB, pageSize: 4096 as const },
    { ...any, keys: 60, largest: 2 * MIB, pageSize: 16384 as const, sortBudget: 1 },
  ])('$keys keys, values to $largest bytes, pages of $pageSize bytes', goesThrough, 120_000);

  test(
    'of any number of keys and any size',
    () => fc.assert(fc.asyncProperty(shape, goesThrough), { numRuns: LONG ? 200 : 10 }),
    3_600_000,
  );
});
