import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { leaseIdOf } from '../../src/convert/v2-expiration.js';
import { EXACT_TTL, ExpirationLeases } from '../../src/convert/v2-ttl.js';
import { batchOf } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { compareTreePaths } from '../../src/model/tree-path.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { restoreLiveV3 } from '../../src/writers/live-v3.js';
import { holdsNothing } from '../../src/writers/live-v3-empty.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdServer, etcdVersions, newestEtcd } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv, sourceOf } from '../support/source.js';

const run = quietRun();

/** Records in tree order, which may be read once. */
function treeOf(records: readonly KeyValue[], batch: number): Source {
  const source = sourceOf(records);
  const sorted = [...records].sort((a, b) => compareTreePaths(a.key, b.key));
  const leases = new ExpirationLeases(EXACT_TTL, Date.now());
  let reads = 0;
  return {
    ...source,
    info: { ...source.info, order: 'tree' },
    leaseOf: (id) => leases.leaseOf(id),
    async *records() {
      if (++reads > 1) throw new Error('read twice');
      for (let at = 0; at < sorted.length; at += batch) yield batchOf(sorted.slice(at, at + batch).map(encodeKeyValue));
    },
  };
}

for (const etcd of etcdVersions()) {
  describe(`records in tree order into etcd ${etcd.version}`, () => {
    let target: RestoreTarget;
    beforeAll(async () => {
      target = await RestoreTarget.start(etcd);
    });
    afterAll(() => target[Symbol.asyncDispose]());

    it('are written without a look at the target, wherever their order is not that of bytes', async () => {
      const part = fc.constantFrom('a', 'a-b', 'a.b', 'a0', 'b', 'b/c', 'b-c');
      const path = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
      const paths = fc.uniqueArray(path, { minLength: 1, maxLength: 120 });
      let round = 0;
      await fc.assert(
        fc.asyncProperty(paths, fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 16 }), async (names, batch, maxTxnOps) => {
          const prefix = `/${round++}/`;
          const records = names.map((name) => kv(`${prefix}${name}`, `of ${name}`));
          let looks = 0;
          const through = target.watched((_, method, pass) => {
            if (method === 'KV/Range') looks++;
            return pass();
          });
          const report = await restoreLiveV3(treeOf(records, batch), through, { maxTxnOps }, run);
          expect(report).toMatchObject({ records: names.length, written: names.length, equal: 0, skipped: 0, overwritten: 0 });
          expect(looks).toBe(0);
          expect(await target.texts(prefix)).toEqual(Object.fromEntries(names.map((name) => [`${prefix}${name}`, `of ${name}`])));
        }),
        { numRuns: 40 },
      );
    });

    it('have leases by what their ids say, granted once each', async () => {
      const now = Math.floor(Date.now() / 1000);
      const ids = [500, 600, 400, 500, 400].map((ttl) => leaseIdOf(BigInt(now + ttl)));
      const records = ids.map((id, i) => kv(`/lease/${i}`, 'x', id));
      const report = await restoreLiveV3(treeOf(records, 2), target.cluster, { leaseTtl: 'deadline' }, run);
      expect(report).toMatchObject({ written: 5, leasesGranted: 3, leftOut: 0 });
      expect((await target.dump('/lease/')).map(({ lease }) => lease)).toEqual(ids);
      const state = await target.cluster.leaseState(ids[0] as bigint);
      expect(Math.abs(Number(state?.grantedTtl) - 500)).toBeLessThan(10);
      const past = kv('/past', 'x', leaseIdOf(BigInt(now - 100)));
      const others = await restoreLiveV3(treeOf([past, kv('/unknown', 'x', 77n)], 2), target.cluster, { leaseTtl: 'deadline' }, run);
      expect(others).toMatchObject({ written: 1, leftOut: 1, notes: [{ code: 'lease-deadline-past' }, { code: 'lease-unknown' }] });
    });

    it('meet what is there all the same by the rule given', async () => {
      const records = Array.from({ length: 300 }, (_, i) => kv(`/rule/${i}`, `value ${i}`));
      await target.put('/rule/42', 'mine');
      const error = await failure(restoreLiveV3(treeOf(records, 50), target.cluster, {}, run));
      expect(error).toMatchObject({ code: 'in-the-way', message: expect.stringContaining('"/rule/42" appeared') });
      expect((await target.texts('/rule/'))['/rule/42']).toBe('mine');
      const skipped = await restoreLiveV3(treeOf(records, 50), target.cluster, { onConflict: 'skip' }, run);
      expect(skipped.skipped).toBe(1);
      const replaced = await restoreLiveV3(treeOf(records, 50), target.cluster, { onConflict: 'overwrite' }, run);
      expect(replaced).toMatchObject({ overwritten: 1, equal: 299 });
    });

    it('are refused where they would have to be read twice', async () => {
      const tree = (): Source => treeOf([kv('/x')], 1);
      expect((await failure(restoreLiveV3(tree(), target.cluster, { dryRun: true }, run))).code).toBe('usage');
      expect((await failure(restoreLiveV3(tree(), target.cluster, { deleteExtra: 'everything' }, run))).code).toBe('usage');
    });

    it('an empty range is told from one that holds something, by the names keys will have', async () => {
      await target.put('/range/x', '1');
      const under = (prefix: string) => ({ prefixes: [Buffer.from(prefix)], excludePrefixes: [] });
      expect(await holdsNothing(target.cluster, EVERYTHING, undefined, run)).toBe(false);
      expect(await holdsNothing(target.cluster, under('/range/'), undefined, run)).toBe(false);
      expect(await holdsNothing(target.cluster, under('/rangf'), undefined, run)).toBe(true);
      const { parseKeyMapping } = await import('../../src/convert/key-mapping.js');
      expect(await holdsNothing(target.cluster, EVERYTHING, parseKeyMapping({ addPrefix: '/range/' }), run)).toBe(false);
      expect(await holdsNothing(target.cluster, EVERYTHING, parseKeyMapping({ addPrefix: '/else/' }), run)).toBe(true);
    });
  });
}

it('a range that may not be counted is not taken for empty', async () => {
  await using server = await EtcdServer.start(newestEtcd());
  for (const args of [
    ['user', 'add', 'root:r'],
    ['user', 'grant-role', 'root', 'root'],
    ['role', 'add', 'part'],
    ['user', 'add', 'u:p'],
  ]) {
    await server.etcdctl(...args);
  }
  await server.etcdctl('role', 'grant-permission', 'part', '--prefix=true', 'readwrite', '/part/');
  await server.etcdctl('user', 'grant-role', 'u', 'part');
  await server.etcdctl('auth', 'enable');
  const cluster = await connectV3({ ...clusterOptions(server.endpoint), user: 'u', password: 'p' });
  expect(await holdsNothing(cluster, EVERYTHING, undefined, run)).toBe(false);
  expect(await holdsNothing(cluster, { prefixes: [Buffer.from('/part/')], excludePrefixes: [] }, undefined, run)).toBe(true);
  await cluster.close();
});
