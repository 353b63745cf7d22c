import { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { convertTree } from '../../src/convert/v2-to-v3.js';
import { type MigrationProof, proveMigration } from '../../src/jobs/migration-proof.js';
import { isProven } from '../../src/jobs/migration-verdict.js';
import type { KeyTest } from '../../src/kubernetes/runtime.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { RecordSorter } from '../../src/sort/sorter.js';
import { findKeyValueKey } from '../../src/wire/keyvalue-scan.js';
import { restoreLiveV3 } from '../../src/writers/live-v3.js';
import { clusterOptions } from '../support/cluster.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { dir, file, inSeconds, type MadeNode, treeOf } from '../support/tree.js';

const tmpDir = temporaryDirectory();
const LATE = inSeconds(600);
const nodes = (soon: number): MadeNode[] => [
  file('/a', 'one'),
  dir('/d'),
  file('/d/late', 'v', LATE),
  file('/d/soon', 'v', inSeconds(soon)),
  file('/d-', 'two'),
  file('/e', 'three'),
];

let server: EtcdServer;

beforeAll(async () => {
  server = await EtcdServer.start(newestEtcd());
});
afterAll(() => server.stop());

/** The tree as v3 keys under a prefix of its own, in key order. */
async function withSource<T>(prefix: string, soon: number, use: (source: Source) => Promise<T>): Promise<T> {
  const under = nodes(soon).map((node) => ({ ...node, path: `${prefix}${node.path}` }));
  const converted = await convertTree(treeOf(dir(prefix), ...under));
  await using sorter = new RecordSorter({ findKey: findKeyValueKey, tmpDir }, quietRun());
  for await (const batch of converted.records()) await sorter.add(batch);
  await sorter.finish();
  return await use({ ...converted, info: { ...converted.info, order: 'key' }, records: () => sorter.batches() });
}

/** Writes the tree, lets something happen to it, and proves it. */
async function provenAfter(
  prefix: string,
  happens: (key: (path: string) => string) => Promise<unknown>,
  { soon = 300, ...options }: { soon?: number; skipped?: number; leftAlone?: KeyTest } = {},
): Promise<MigrationProof> {
  return withSource(prefix, soon, async (source) => {
    const cluster = await connectV3(clusterOptions(server.endpoint));
    try {
      await restoreLiveV3(source, cluster, { leaseTtl: 'deadline' }, quietRun());
    } finally {
      await cluster.close();
    }
    await happens((path) => `${prefix}${path}`);
    const target = {
      location: { kind: 'live', text: server.endpoint, endpoints: [server.endpoint] },
      connection: {},
      api: 'v3',
      selection: { ...EVERYTHING, prefixes: [Buffer.from(prefix)] },
      tmpDir,
      stdin: Readable.from([]),
    } as const;
    return proveMigration({ source, target, leftAlone: () => false, skipped: 0, ...options }, quietRun());
  });
}

const named = ({ differences }: MigrationProof): string[] => differences.map(({ key, what }) => `${what} ${key.toString()}`);

describe('what was written and left alone', () => {
  test('is proven, whatever else lies there', async () => {
    const proof = await provenAfter('/same', (key) => server.etcdctl('put', key('/foreign'), 'v'));
    expect(proof).toMatchObject({ keys: 5, equal: 5, differing: 0, strayLeases: 0, expired: 0, leases: 2 });
    expect(Math.abs(proof.furthestEnd ?? 99)).toBeLessThan(1.6);
    expect(isProven(proof)).toBe(true);
  });

  test('is proven when a key is gone because its time has come', async () => {
    const expires = async (key: (path: string) => string): Promise<void> => {
      await setTimeout(1000);
      await server.etcdctl('del', key('/d/soon'));
    };
    const proof = await provenAfter('/expired', expires, { soon: 2 });
    expect(proof).toMatchObject({ keys: 5, equal: 4, expired: 1, differing: 0 });
    expect(isProven(proof)).toBe(true);
  });
});

describe('what is other than it should be', () => {
  test.each([
    ['another value', (key: (path: string) => string) => server.etcdctl('put', key('/a'), 'other'), 'value'],
    ['a key that is gone', (key: (path: string) => string) => server.etcdctl('del', key('/a')), 'missing'],
    ['a key that lost its lease', (key: (path: string) => string) => server.etcdctl('put', key('/d/late'), 'v'), 'lease'],
  ] as const)('%s is named', async (what, happens, expected) => {
    const prefix = `/${what.replaceAll(' ', '-')}`;
    const proof = await provenAfter(prefix, happens);
    expect(proof).toMatchObject({ keys: 5, equal: 4, differing: 1 });
    expect(named(proof)).toEqual([`${expected} ${prefix}${expected === 'lease' ? '/d/late' : '/a'}`]);
    expect(isProven(proof)).toBe(false);
  });

  test('is explained for as many keys as were skipped, and no more', async () => {
    const both = async (key: (path: string) => string): Promise<void> => {
      await server.etcdctl('put', key('/a'), 'other');
      await server.etcdctl('put', key('/e'), 'other');
    };
    expect(await provenAfter('/skip2', both, { skipped: 2 })).toMatchObject({ equal: 3, skipped: 2, differing: 0 });
    expect(await provenAfter('/skip1', both, { skipped: 1 })).toMatchObject({ equal: 3, skipped: 1, differing: 1 });
  });

  test('does not count where nothing was to be written', async () => {
    const alone: KeyTest = (bytes, start, end) => bytes.toString('utf8', start, end).startsWith('/alone/a');
    const proof = await provenAfter('/alone', (key) => server.etcdctl('del', key('/a')), { leftAlone: alone });
    expect(proof).toMatchObject({ keys: 4, equal: 4, differing: 0 });
  });

  test('a lease that lasts longer than it should is told of', async () => {
    const lease = `7632${(((LATE + 999_999_999n) / 1_000_000_000n) | 0n).toString(16).padStart(12, '0')}`;
    const proof = await provenAfter('/stray', async (key) => {
      await server.etcdctl('lease', 'revoke', lease);
      const cluster = await connectV3(clusterOptions(server.endpoint));
      await cluster.leaseGrant(BigInt(`0x${lease}`), 5000n);
      await cluster.close();
      await server.etcdctl('put', key('/d/late'), 'v', `--lease=${lease}`);
    });
    expect(proof).toMatchObject({ equal: 5, differing: 0, strayLeases: 1 });
    expect(proof.strays[0]?.seconds).toBeGreaterThan(4000);
    expect(isProven(proof)).toBe(false);
  });
});
