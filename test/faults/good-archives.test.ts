import fc from 'fast-check';
import { expect, test } from 'vitest';
import { proveArchive } from '../../src/archive/prove.js';
import type { AuthData } from '../../src/model/auth.js';
import type { Lease } from '../../src/model/lease.js';
import { quietRun } from '../../src/model/run.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { encodeNode } from '../../src/wire/node.js';
import { cutInto, memorySource } from '../archive/memory.js';
import { packed } from '../archive/samples.js';
import { bytes, int64, keyValue, treeNode, uint64 } from '../support/arbitrary.js';

/** What may stand in an archive: anything a source can give, in one of the three orders. */
interface Content {
  readonly info: { readonly api: 'v2' | 'v3'; readonly order: 'key' | 'revision' | 'tree'; readonly revision: bigint };
  readonly records: readonly Buffer[];
}

const revision = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
const unique = <T>(item: fc.Arbitrary<T>, selector: (one: T) => string) => fc.uniqueArray(item, { selector, maxLength: 60, size: 'max' });

const byKey: fc.Arbitrary<Content> = fc
  .record({
    revision,
    kvs: unique(
      keyValue.filter(({ key }) => key.length > 0),
      ({ key }) => key.toString('hex'),
    ),
  })
  .map(({ revision: at, kvs }) => ({
    info: { api: 'v3', order: 'key', revision: at },
    records: kvs.sort((a, b) => Buffer.compare(a.key, b.key)).map((kv) => encodeKeyValue(kv)),
  }));

const byRevision: fc.Arbitrary<Content> = fc
  .record({
    revision,
    changes: unique(
      fc.record({ main: fc.bigInt({ min: 1n, max: 2n ** 62n }), kv: keyValue, deleted: fc.boolean() }),
      ({ main }) => `${main}`,
    ),
  })
  .map(({ revision: at, changes }) => ({
    info: { api: 'v3', order: 'revision', revision: at },
    records: changes
      .sort((a, b) => (a.main < b.main ? -1 : 1))
      .map(({ main, kv, deleted }) => {
        const head = Buffer.alloc(deleted ? 18 : 17, '_');
        head.writeBigUInt64BE(main);
        head.writeBigUInt64BE(0n, 9);
        if (deleted) head.write('t', 17);
        const nothing = { value: Buffer.alloc(0), createRevision: 0n, modRevision: 0n, version: 0n, lease: 0n };
        const key = kv.key.length === 0 ? Buffer.from('k') : kv.key;
        return Buffer.concat([head, encodeKeyValue(deleted ? { ...kv, ...nothing, key } : { ...kv, key })]);
      }),
  }));

const name = fc.stringMatching(/^[a-z !"0.\u00e9-]{1,6}$/);
const byTree: fc.Arbitrary<Content> = fc
  .record({ revision, nodes: unique(fc.tuple(fc.array(name, { minLength: 1, maxLength: 3 }), treeNode), ([path]) => path.join('/')) })
  .map(({ revision: at, nodes }) => ({
    info: { api: 'v2', order: 'tree', revision: at },
    // A `/` before every other byte, as a NUL would stand.
    records: nodes
      .sort(([a], [b]) => Buffer.compare(Buffer.from(a.join('\0')), Buffer.from(b.join('\0'))))
      .map(([path, node]) => encodeNode({ ...node, path: Buffer.from(`/${path.join('/')}`) })),
  }));

const lease: fc.Arbitrary<Lease> = fc.record({
  id: int64.filter((id) => id !== 0n),
  grantedTtl: int64,
  remainingTtl: int64,
  seenAt: fc.nat(),
  origin: fc.constantFrom('lease' as const, 'expiration' as const),
});
const auth: fc.Arbitrary<AuthData> = fc.record({
  enabled: fc.option(fc.boolean(), { nil: undefined }),
  users: fc.array(fc.record({ name: fc.string({ unit: 'grapheme' }), roles: fc.array(fc.string()) })),
  roles: fc.array(
    fc.record({
      name: fc.string(),
      permissions: fc.array(fc.record({ type: fc.constantFrom('read' as const, 'write' as const), key: bytes(), rangeEnd: bytes() })),
    }),
  ),
});

const RUNS = process.env.SOAK === undefined ? 200 : 1000;

test(`${RUNS} random good archives raise no alarm`, async () => {
  let [records, empty] = [0, 0];
  const seen = new Set<string>();
  const content = fc.record({
    made: fc.oneof(byKey, byRevision, byTree),
    leases: unique(lease, ({ id }) => `${id}`),
    auth: fc.option(auth, { nil: undefined }),
    cut: fc.integer({ min: 1, max: 70 }),
    location: fc.string({ unit: 'grapheme' }),
    clusterId: uint64,
  });
  await fc.assert(
    fc.asyncProperty(content, async ({ made, leases, auth: users, cut, ...more }) => {
      const sorted = leases.sort((a, b) => (a.id < b.id ? -1 : 1));
      const { account, bytes: archive } = await packed({
        info: { ...made.info, ...more },
        leases: sorted.length === 0 ? [] : [sorted],
        ...(users === undefined ? {} : { auth: users }),
        batches: cutInto(made.records, cut),
      });
      expect(await proveArchive(memorySource(archive), quietRun())).toEqual(account);
      expect(account.records).toBe(made.records.length);
      records += account.records;
      if (account.records === 0) empty++;
      seen.add(made.info.order);
    }),
    { numRuns: RUNS },
  );
  expect(seen.size).toBe(3);
  expect(empty).toBeGreaterThan(0);
  expect(records).toBeGreaterThan(10 * RUNS);
});
