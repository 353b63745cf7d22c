import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rpcError } from '../../src/cluster/v3-errors.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { failure } from '../support/cluster.js';
import { etcdVersions } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv, lease } from '../support/source.js';

for (const etcd of etcdVersions()) {
  describe(`leases restored into etcd ${etcd.version}`, () => {
    let target: RestoreTarget;
    beforeAll(async () => {
      target = await RestoreTarget.start(etcd);
    });
    afterAll(() => target[Symbol.asyncDispose]());

    const leaseOf = async (key: string): Promise<bigint | undefined> => (await target.dump(key))[0]?.lease;
    const grantedTtl = async (id: bigint): Promise<bigint | undefined> => (await target.cluster.leaseState(id))?.grantedTtl;

    /** Restores twice and checks that the second run writes nothing and grants nothing. */
    const restoreTwice: RestoreTarget['restore'] = async (records, options, made) => {
      const first = await target.restore(records, options, made);
      const [revision, leases] = [await target.revision(), (await target.cluster.leases()).length];
      expect(await target.restore(records, options, made)).toMatchObject({ written: 0, overwritten: 0, leasesGranted: 0 });
      expect([await target.revision(), (await target.cluster.leases()).length]).toEqual([revision, leases]);
      return first;
    };

    it('grants those that are needed, under their ids, with the granted TTL', async () => {
      const leases = [lease(-9n, 500n), lease(0x101n, 600n, 60n), lease(0x102n, 700n), lease(0x103n, 800n)];
      const records = [kv('/g/1', 'a', 0x101n), kv('/g/2', 'b', 0x101n), kv('/g/3', 'c', 0x102n), kv('/g/4', 'd', -9n), kv('/g/5', 'e')];
      const report = await restoreTwice(records, {}, { leases });
      expect(report).toMatchObject({ written: 5, leasesGranted: 3, leasesReused: 0, notes: [] });
      expect((await target.dump('/g/')).map((record) => record.lease)).toEqual([0x101n, 0x101n, 0x102n, -9n, 0n]);
      expect([await grantedTtl(0x101n), await grantedTtl(0x102n), await grantedTtl(0x103n)]).toEqual([600n, 700n, undefined]);
    });

    it('grants what remained, what is left until the deadline, or nothing', async () => {
      const seen = Date.now() - 100_000;
      const leases = [lease(0x201n, 600n, 300n, seen)];
      await restoreTwice([kv('/r/', 'a', 0x201n)], { leaseTtl: 'remaining' }, { leases });
      expect(await grantedTtl(0x201n)).toBe(300n);
      await target.cluster.leaseRevoke(0x201n);
      await restoreTwice([kv('/r/', 'a', 0x201n)], { leaseTtl: 'deadline' }, { leases });
      const ttl = await grantedTtl(0x201n);
      expect(ttl).toBeGreaterThan(180n);
      expect(ttl).toBeLessThanOrEqual(200n);
      await target.cluster.leaseRevoke(0x201n);
      expect(await restoreTwice([kv('/r/', 'a', 0x201n)], { leaseTtl: 'drop' }, { leases })).toMatchObject({
        written: 1,
        leasesGranted: 0,
      });
      expect(await leaseOf('/r/')).toBe(0n);
    });

    it('leaves keys past their deadline out, which was asked for', async () => {
      const leases = [lease(0x301n, 600n, 50n, Date.now() - 100_000), lease(0x302n, 600n, 500n)];
      const report = await restoreTwice([kv('/p/1', '', 0x301n), kv('/p/2', '', 0x302n)], { leaseTtl: 'deadline' }, { leases });
      expect(report).toMatchObject({ written: 1, leftOut: 1 });
      expect(report.notes).toMatchObject([{ code: 'lease-deadline-past', count: 1, lossy: false, examples: ['"/p/1"'] }]);
    });

    it('leaves keys of a vanished lease out and calls it a loss, unless leases are dropped', async () => {
      const leases = [lease(0x311n, 0n, -1n)];
      const records = [kv('/v/1', '', 0x311n), kv('/v/2', '', 0x311n), kv('/v/3')];
      const report = await restoreTwice(records, {}, { leases });
      expect(report).toMatchObject({ written: 1, leftOut: 2 });
      expect(report.notes).toMatchObject([{ code: 'lease-vanished', count: 2, lossy: true }]);
      expect(await restoreTwice(records, { leaseTtl: 'drop' }, { leases })).toMatchObject({ written: 2, equal: 1, leftOut: 0, notes: [] });
    });

    it.each(['granted', 'remaining', 'deadline'] as const)(
      'writes keys of a lease that the source does not tell of without one, and names them as a loss (%s)',
      async (leaseTtl) => {
        const records = [kv(`/u/${leaseTtl}/1`, 'a', 0x321n), kv(`/u/${leaseTtl}/2`, 'b')];
        const report = await restoreTwice(records, { leaseTtl });
        expect(report).toMatchObject({ written: 2, leftOut: 0, leasesGranted: 0 });
        const note = { code: 'lease-unknown', count: 1, lossy: true, examples: [`"/u/${leaseTtl}/1"`] };
        expect(report.notes).toMatchObject([note]);
        expect((await target.restore(records, { leaseTtl })).notes).toMatchObject([note]);
        expect((await target.dump(`/u/${leaseTtl}/`)).map((record) => record.lease)).toEqual([0n, 0n]);
      },
    );

    it('takes a key for the same that has the lease which the source does not tell of', async () => {
      await target.cluster.leaseGrant(0x331n, 600n);
      await target.put('/same/1', 'a', 0x331n);
      expect(await target.restore([kv('/same/1', 'a', 0x331n)])).toMatchObject({
        written: 0,
        equal: 1,
        notes: [{ code: 'lease-unknown' }],
      });
    });

    it('takes a lease that the user may not ask for to be there, and to be the one with its id', async () => {
      await target.cluster.leaseGrant(0x341n, 600n);
      const leases = [lease(0x341n, 600n)];
      const through = new Proxy(target.cluster, {
        get: (cluster, name) => {
          if (name === 'leaseState')
            return async () => Promise.reject(rpcError({ code: 7, details: 'etcdserver: permission denied' }, 'x'));
          const member: unknown = Reflect.get(cluster, name);
          return typeof member === 'function' ? member.bind(cluster) : member;
        },
      });
      for (const written of [1, 0]) {
        const report = await target.restore([kv('/kept/1', 'a', 0x341n)], { through }, { leases });
        expect(report).toMatchObject({ written, equal: 1 - written, notes: [] });
      }
      expect(await leaseOf('/kept/1')).toBe(0x341n);
    });

    it('uses a lease that is there with the same id and TTL, and grants a new one where the id is taken', async () => {
      await target.cluster.leaseGrant(0x401n, 600n);
      await target.cluster.leaseGrant(0x402n, 1234n);
      const leases = [lease(0x401n, 600n), lease(0x402n, 700n)];
      const records = [kv('/t/1', 'a', 0x401n), kv('/t/2', 'b', 0x402n), kv('/t/3', 'c', 0x402n)];
      const report = await restoreTwice(records, {}, { leases });
      expect(report).toMatchObject({ written: 3, leasesGranted: 1, leasesReused: 1 });
      expect(report.notes).toMatchObject([{ code: 'lease-id-taken', count: 1, lossy: false }]);
      const [one, two, three] = (await target.dump('/t/')).map((record) => record.lease);
      expect(one).toBe(0x401n);
      expect(two).toBe(three);
      expect(two).not.toBe(0x402n);
      expect([await grantedTtl(two as bigint), await grantedTtl(0x402n)]).toEqual([700n, 1234n]);
    });

    it('goes on with the lease an interrupted run granted under another id', async () => {
      await target.cluster.leaseGrant(0x411n, 1234n);
      const leases = [lease(0x411n, 700n)];
      await target.restore([kv('/i/1', 'a', 0x411n)], {}, { leases });
      const report = await target.restore([kv('/i/1', 'a', 0x411n), kv('/i/2', 'b', 0x411n)], {}, { leases });
      expect(report).toMatchObject({ written: 1, equal: 1, leasesGranted: 0, leasesReused: 1 });
      const [one, two] = (await target.dump('/i/')).map((record) => record.lease);
      expect(one).toBe(two);
    });

    it('judges each key by its own lease, whichever the others have', async () => {
      for (const [id, ttl] of [
        [0x421n, 700n],
        [0x422n, 700n],
        [0x423n, 900n],
      ] as const) {
        await target.cluster.leaseGrant(id, ttl);
      }
      await target.put('/j/1', 'a', 0x422n);
      await target.put('/j/2', 'a', 0x421n);
      await target.put('/j/3', 'a', 0x423n);
      const records = [1, 2, 3].map((i) => kv(`/j/${i}`, 'a', 0x421n));
      const report = await target.restore(records, { onConflict: 'skip' }, { leases: [lease(0x421n, 700n)] });
      expect(report).toMatchObject({ equal: 2, skipped: 1 });
    });

    it('takes a key that has another lease, or one too many or too few, for a conflict', async () => {
      await target.cluster.leaseGrant(0x601n, 1234n);
      await target.put('/c/1', 'a', 0x601n);
      await target.put('/c/2', 'a');
      await target.put('/c/3', 'a', 0x601n);
      const records = [kv('/c/1', 'a'), kv('/c/2', 'a', 0x602n), kv('/c/3', 'a', 0x603n)];
      const made = { leases: [lease(0x602n, 600n), lease(0x603n, 600n)] };
      expect((await failure(target.restore(records, {}, made))).message).toContain('3 keys');
      expect(await restoreTwice(records, { onConflict: 'overwrite' }, made)).toMatchObject({ overwritten: 3, leasesGranted: 2 });
      expect((await target.dump('/c/')).map((record) => record.lease)).toEqual([0n, 0x602n, 0x603n]);
    });

    it('says in a dry run what it would grant and use, and grants nothing', async () => {
      await target.cluster.leaseGrant(0x701n, 600n);
      await target.cluster.leaseGrant(0x702n, 1234n);
      const before = (await target.cluster.leases()).length;
      const leases = [lease(0x701n, 600n), lease(0x702n, 600n), lease(0x703n, 600n)];
      const records = [0x701n, 0x702n, 0x703n, 0x703n].map((id, i) => kv(`/d/${i}`, '', id));
      const report = await target.restore(records, { dryRun: true }, { leases });
      expect(report).toMatchObject({ written: 4, leasesGranted: 2, leasesReused: 1, notes: [{ code: 'lease-id-taken', count: 1 }] });
      expect((await target.cluster.leases()).length).toBe(before);
    });

    it('grants another lease where keys of theirs are there that the user may not write', async () => {
      await target.cluster.leaseGrant(0xd01n, 600n);
      const leases = [lease(0xd01n, 600n), lease(0xd02n, 600n)];
      const records = [kv('/mine/1', '1', 0xd01n), kv('/mine/2', '2', 0xd02n), kv('/mine/3', '3', 0xd01n)];
      const shared = Buffer.from([0x18, 0x81, 0x1a]);
      const through = target.watched(async (request, method, pass) => {
        if (method === 'KV/Txn' && Buffer.from(request).includes(shared))
          throw rpcError({ code: 7, details: 'etcdserver: permission denied' }, 'x');
        return pass();
      });
      const report = await target.restore(records, { through }, { leases });
      expect(report).toMatchObject({ written: 3, leasesGranted: 2, notes: [{ code: 'lease-shared', count: 1, lossy: false }] });
      const [one, two, three] = (await target.dump('/mine/')).map((record) => record.lease);
      expect([one === 0xd01n, two, three]).toEqual([false, 0xd02n, one]);
      expect(await target.restore(records, {}, { leases })).toMatchObject({ written: 0, equal: 3, leasesGranted: 0 });
    });

    it('does not try a key again that the user may not write', async () => {
      let asked = 0;
      const through = target.watched(async (_, method, pass) => {
        if (method !== 'KV/Txn') return pass();
        asked++;
        throw rpcError({ code: 7, details: 'etcdserver: permission denied' }, 'x');
      });
      const error = await failure(target.restore([kv('/no/1', '1', 0xe01n)], { through }, { leases: [lease(0xe01n, 600n)] }));
      expect([error.code, asked]).toEqual(['unauthorized', 2]);
    });

    it('counts and names the keys that went with a lease which ended while others were written', async () => {
      const leases = [lease(0xb01n, 600n), lease(0xb02n, 600n)];
      const records = ['1', '2', '3', '4'].map((n) => kv(`/lost/${n}`, n, n === '2' ? 0xb02n : 0xb01n));
      let puts = 0;
      const through = target.watched(async (request, method, pass) => {
        if (method === 'KV/Txn' && Buffer.from(request).includes('/lost/') && ++puts === 4) await target.cluster.leaseRevoke(0xb01n);
        return pass();
      });
      const report = await target.restore(records, { through, maxTxnOps: 1, inFlight: 1 }, { leases, batch: 1 });
      expect(report.notes).toMatchObject([{ code: 'lease-ended', count: 2, examples: ['"/lost/1"', '"/lost/3"'], lossy: true }]);
      expect(Object.keys(await target.texts('/lost/'))).toEqual(['/lost/2', '/lost/4']);
      // What is gone is written by another run, which has nothing to complain of.
      expect(await target.restore(records, {}, { leases })).toMatchObject({ written: 2, equal: 2, notes: [] });
    });

    it.each([
      ['granted', 'lease-ended', true],
      ['deadline', 'lease-deadline-met', false],
    ] as const)('tells of a lease that ended by itself after the last of its keys was put (%s)', async (leaseTtl, code, lossy) => {
      const id = leaseTtl === 'granted' ? 0xc01n : 0xc02n;
      const records = [kv(`/short/${leaseTtl}/1`, '1', id), kv(`/short/${leaseTtl}/2`, '2')];
      const through = target.watched(async (request, method, pass) => {
        if (method === 'KV/Txn' && Buffer.from(request).includes(`/short/${leaseTtl}/2`)) {
          while ((await target.cluster.leaseState(id)) !== undefined) await setTimeout(100);
        }
        return pass();
      });
      const report = await target.restore(records, { through, leaseTtl, maxTxnOps: 1, inFlight: 1 }, { leases: [lease(id, 1n)], batch: 1 });
      expect(report.notes.filter((note) => note.code !== 'lease-ttl-raised')).toMatchObject([
        { code, count: 1, lossy, examples: [`"/short/${leaseTtl}/1"`] },
      ]);
    });

    it('grants a lease again that went away before its keys were put', async () => {
      let revoked = false;
      const through = target.watched(async (request, method, pass) => {
        if (method === 'KV/Txn' && !revoked && Buffer.from(request).includes('/w/1')) {
          revoked = true;
          await target.cluster.leaseRevoke(0x801n);
        }
        return pass();
      });
      const report = await target.restore([kv('/w/1', 'a', 0x801n), kv('/w/2', 'a')], { through }, { leases: [lease(0x801n, 600n)] });
      expect(revoked).toBe(true);
      expect(report).toMatchObject({ written: 2, leasesGranted: 2 });
      expect(await leaseOf('/w/1')).toBe(0x801n);
    });

    it('copes with many leases, listed in any order', async () => {
      const leases = Array.from({ length: 1000 }, (_, i) => lease(BigInt((i * 7919) % 1000) + 0x10000n, 600n));
      const records = leases.map(({ id }, i): KeyValue => kv(`/n/${i}`, '', id));
      expect(await restoreTwice(records, {}, { leases })).toMatchObject({ written: 1000, leasesGranted: 1000 });
      const there = new Map((await target.dump('/n/')).map((record) => [record.key.toString(), record.lease]));
      expect(records.every((record) => there.get(record.key.toString()) === record.lease)).toBe(true);
    });

    it('names leases whose TTL the cluster raised, and takes such a lease for the same afterwards', async () => {
      const report = await target.restore([kv('/m/1', 'a', 0x501n)], {}, { leases: [lease(0x501n, 1n)] });
      expect(report.notes).toMatchObject([{ code: 'lease-ttl-raised', lossy: false, examples: ['501: 1 s became 2 s'] }]);
      await target.cluster.leaseGrant(0x502n, 60n);
      await target.put('/m/2', 'a', 0x502n);
      expect(await target.restore([kv('/m/2', 'a', 0x502n)], {}, { leases: [lease(0x502n, 4n)] })).toMatchObject({
        equal: 1,
        leasesGranted: 0,
      });
    });
  });
}
