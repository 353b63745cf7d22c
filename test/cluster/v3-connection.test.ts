import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { reasonOf } from '../../src/cluster/v3-errors.js';
import { FerryError } from '../../src/errors.js';
import { recordAt } from '../../src/model/batch.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { decodeDeleteRangeResponse, decodeRangeResponse, decodeTxnResponse } from '../../src/wire/rpc.js';
import { encodeDeleteRange, encodeRange, encodeTxn, type Operation } from '../../src/wire/rpc-request.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdServer, etcdVersions, freePort } from '../support/etcd.js';

const ALL = { key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };

const put = (key: string, value: string | Buffer, lease = 0n): Operation => ({
  kind: 'put',
  key: Buffer.from(key),
  value: Buffer.from(value),
  lease,
});

for (const etcd of etcdVersions()) {
  describe(`etcd ${etcd.version}`, () => {
    let server: EtcdServer;
    let cluster: V3Cluster;

    beforeAll(async () => {
      server = await EtcdServer.start(etcd);
      cluster = await connectV3(clusterOptions(server.endpoint));
    });
    afterAll(async () => {
      await cluster.close();
      await server.stop();
    });

    test('status tells version, ids and revision', async () => {
      const status = await cluster.status();
      expect(status.version).toBe(etcd.version);
      expect(status.clusterId).toBeGreaterThan(0n);
      expect(status.memberId).toBeGreaterThan(0n);
      expect(status.dbSize).toBeGreaterThan(0n);
    });

    test('a transaction puts, reads and deletes; what it wrote is read back', async () => {
      const key = Buffer.from('txn/a');
      const compares = [{ target: 'create' as const, result: 'equal' as const, key, operand: 0n }];
      const range = { kind: 'range' as const, range: { key } };
      const txn = encodeTxn({ compares, success: [put('txn/a', 'one'), put('txn/b', '')], failure: [range] });
      const first = decodeTxnResponse(await cluster.call('KV/Txn', txn));
      expect([first.succeeded, first.results.length]).toEqual([true, 2]);
      const second = decodeTxnResponse(await cluster.call('KV/Txn', txn));
      expect(second).toMatchObject({ succeeded: false, results: [{ kind: 'range', range: { count: 1n } }] });
      const read = decodeRangeResponse(await cluster.call('KV/Range', encodeRange({ key })));
      expect(decodeKeyValue(recordAt(read.records, 0))).toMatchObject({ key, value: Buffer.from('one'), version: 1n });
      const deleted = await cluster.call('KV/DeleteRange', encodeDeleteRange(key, Buffer.from('txn/b')));
      expect(decodeDeleteRangeResponse(deleted).deleted).toBe(1n);
    });

    test('a compare over a range holds only when it holds for every key', async () => {
      const compares = [
        { target: 'create' as const, result: 'equal' as const, key: Buffer.from('rng/'), rangeEnd: Buffer.from('rng0'), operand: 0n },
      ];
      const txn = encodeTxn({ compares, success: [put('rng/x', '')], failure: [] });
      expect(decodeTxnResponse(await cluster.call('KV/Txn', txn)).succeeded).toBe(true);
      expect(decodeTxnResponse(await cluster.call('KV/Txn', txn)).succeeded).toBe(false);
    });

    test('leases: negative ids where the server takes them, a taken id, a vanished one', async () => {
      const id = etcd.minor === '3.4' ? 0x7eefn : -5n;
      expect(await cluster.leaseGrant(id, 600n)).toEqual({ id, ttl: 600n });
      const taken = await failure(cluster.leaseGrant(id, 600n));
      expect([taken.code, reasonOf(taken)]).toEqual(['in-the-way', 'already-exists']);
      const chosen = await cluster.leaseGrant(0n, 600n);
      expect(Array.from(await cluster.leases()).toSorted()).toEqual([id, chosen.id].toSorted());
      expect(await cluster.leaseState(id)).toMatchObject({ grantedTtl: 600n });
      await cluster.leaseRevoke(id);
      await cluster.leaseRevoke(id);
      expect(await cluster.leaseState(id)).toBeUndefined();
    });

    test('what a server refuses has a code and a reason', async () => {
      const many = Array.from({ length: 129 }, (_, i) => put(`many/${i}`, ''));
      const tooMany = await failure(cluster.call('KV/Txn', encodeTxn({ compares: [], success: many, failure: [] })));
      expect([tooMany.code, reasonOf(tooMany)]).toEqual(['failed', 'too-many-operations']);
      for (const size of [1_600_000, 3_000_000]) {
        const large = encodeTxn({ compares: [], success: [put('large', Buffer.alloc(size))], failure: [] });
        expect(reasonOf(await failure(cluster.call('KV/Txn', large)))).toBe('request-too-large');
      }
      const future = encodeRange({ ...ALL, revision: 1_000_000n });
      expect((await failure(cluster.call('KV/Range', future))).code).toBe('future-revision');
      const { revision } = await cluster.status();
      await server.etcdctl('compact', String(revision));
      expect((await failure(cluster.call('KV/Range', encodeRange({ ...ALL, revision: 1n })))).code).toBe('compacted');
    });

    test('an answer over the receive limit is told apart, and may be had with a larger one', async () => {
      for (const name of ['big/1', 'big/2']) {
        await cluster.call('KV/Txn', encodeTxn({ compares: [], success: [put(name, Buffer.alloc(1_000_000))], failure: [] }));
      }
      const range = encodeRange({ key: Buffer.from('big/'), rangeEnd: Buffer.from('big0') });
      const refused = await failure(cluster.call('KV/Range', range, { maxReceiveBytes: 1 << 20 }));
      expect(reasonOf(refused)).toBe('answer-too-large');
      expect((await cluster.call('KV/Range', range)).length).toBeGreaterThan(2_000_000);
    });

    test('a dead address is passed over for the next one', async () => {
      const dead = `http://127.0.0.1:${await freePort()}`;
      const both = await connectV3(clusterOptions([dead, server.endpoint]));
      expect((await both.status()).version).toBe(etcd.version);
      await both.close();
    });

    test('an aborted signal ends a call with its reason', async () => {
      const reason = new FerryError('interrupted', 'stop');
      await expect(cluster.call('KV/Range', encodeRange(ALL), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    });
  });
}

test('nobody listening: unreachable at once, with the address and a hint', async () => {
  const address = `http://127.0.0.1:${await freePort()}`;
  const started = Date.now();
  const error = await failure(connectV3(clusterOptions(address, { dialTimeout: 20_000 })));
  expect(error).toMatchObject({ code: 'unreachable', message: `${address}: connection refused` });
  expect(error.hint).toContain('etcd is running');
  expect(Date.now() - started).toBeLessThan(10_000);
});
