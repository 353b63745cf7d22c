import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { rpcError } from '../../src/cluster/v3-errors.js';
import { recordAt } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { Lease } from '../../src/model/lease.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { type LiveV3Options, openLiveV3 } from '../../src/readers/live-v3.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { encodeDeleteRange, encodeTxn, type Operation } from '../../src/wire/rpc-request.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdServer, etcdVersions, newestEtcd } from '../support/etcd.js';
import { TcpProxy } from '../support/tcp-proxy.js';

// Nothing is read ahead, so that what happens between two pages happens between two requests.
const SMALL_PAGES = { firstLimit: 50, maxLimit: 200, aheadBytes: 0 };

async function write(
  cluster: V3Cluster,
  pairs: readonly (readonly [key: string | Buffer, value: string | Buffer, lease?: bigint])[],
): Promise<void> {
  for (let at = 0; at < pairs.length; at += 100) {
    const success: Operation[] = pairs
      .slice(at, at + 100)
      .map(([key, value, lease = 0n]) => ({ kind: 'put', key: Buffer.from(key), value: Buffer.from(value), lease }));
    await cluster.call('KV/Txn', encodeTxn({ compares: [], success, failure: [] }));
  }
}

async function open(cluster: V3Cluster, more: Partial<LiveV3Options> = {}): Promise<Source> {
  return openLiveV3({ cluster, selection: EVERYTHING, ...more }, quietRun());
}

async function records(source: Source, between: () => Promise<void> = async () => {}): Promise<KeyValue[]> {
  const all: KeyValue[] = [];
  for await (const batch of source.records()) {
    for (let i = 0; i < batch.count; i++) all.push(decodeKeyValue(recordAt(batch, i)));
    await between();
  }
  return all;
}

async function leases(source: Source): Promise<Lease[]> {
  const all: Lease[] = [];
  for await (const batch of source.leases()) all.push(...batch);
  return all;
}

const wipe = (cluster: V3Cluster): Promise<unknown> =>
  cluster.call('KV/DeleteRange', encodeDeleteRange(Buffer.from([0]), Buffer.from([0])));
const keysOf = (kvs: readonly KeyValue[]): string[] => kvs.map(({ key }) => key.toString('latin1'));

for (const etcd of etcdVersions()) {
  describe(`etcd ${etcd.version}`, () => {
    let server: EtcdServer;
    let cluster: V3Cluster;

    beforeAll(async () => {
      server = await EtcdServer.start(etcd);
      cluster = await connectV3(clusterOptions(server.endpoint));
    });
    afterEach(() => wipe(cluster));
    afterAll(async () => {
      await cluster.close();
      await server.stop();
    });

    test('an empty cluster has no records, but a revision', async () => {
      const source = await open(cluster);
      expect(source.info).toMatchObject({
        kind: 'live',
        api: 'v3',
        order: 'key',
        location: server.endpoint,
        estimatedRecords: 0,
        serverVersion: etcd.version,
      });
      expect(source.info.revision).toBeGreaterThan(0n);
      expect(await records(source)).toEqual([]);
    });

    test('binary keys and empty values arrive as etcdctl sees them, in key order', async () => {
      const keys = [
        Buffer.from([0]),
        Buffer.from([0, 0]),
        Buffer.from([0, 0xff]),
        Buffer.from('a'),
        Buffer.from('a/'),
        Buffer.from([0x61, 0xff, 0xff]),
        Buffer.from([0xff]),
        Buffer.from([0xff, 0xff, 0xff]),
      ];
      await write(
        cluster,
        keys.map((key) => [key, '']),
      );
      await write(cluster, [['a', 'again']]);
      const json: { kvs: { key: string; value?: string; create_revision: number; mod_revision: number; version: number }[] } = JSON.parse(
        await server.etcdctl('get', '', '--from-key', '-w', 'json'),
      );
      const truth = json.kvs.map((kv) => [kv.key, kv.value ?? '', kv.create_revision, kv.mod_revision, kv.version]);
      const seen = (await records(await open(cluster, { pages: { firstLimit: 1, maxLimit: 2 } }))).map((kv) => [
        ...[kv.key.toString('base64'), kv.value.toString('base64')],
        ...[Number(kv.createRevision), Number(kv.modRevision), Number(kv.version)],
      ]);
      expect(seen).toEqual(truth);
    });

    test('20,000 keys in small pages, while others write: the revision stands still', async () => {
      const keys = Array.from(
        { length: 20_000 },
        (_, i) => `/registry/${['pods', 'events', 'secrets'][i % 3]}/ns${i % 17}/name-${(i * 7919) % 20_000}`,
      );
      await write(
        cluster,
        keys.map((key) => [key, `value of ${key}`]),
      );
      const source = await open(cluster, { pages: SMALL_PAGES });
      expect(source.info.estimatedRecords).toBe(20_000);
      let n = 0;
      const disturb = async (): Promise<void> => {
        const [gone, changed] = [keys[(n * 31) % keys.length] as string, keys[(n * 37) % keys.length] as string];
        if (n++ % 5 > 0) return;
        await cluster.call('KV/DeleteRange', encodeDeleteRange(Buffer.from(gone)));
        await write(cluster, [
          [changed, 'changed'],
          [`${gone}-new`, 'new'],
        ]);
      };
      const seen = await records(source, disturb);
      expect(n).toBeGreaterThan(90);
      expect(keysOf(seen)).toEqual(keys.toSorted());
      expect(
        seen.every(({ key, value, modRevision }) => value.toString() === `value of ${key}` && modRevision <= source.info.revision),
      ).toBe(true);
    });

    test('values of 1.4 MB, with a receive limit that lets two through', async () => {
      const value = Buffer.alloc(1_400_000, 'x');
      await write(
        cluster,
        Array.from({ length: 9 }, (_, i) => [`small/${i}`, 'y']),
      );
      for (let i = 0; i < 5; i++) await write(cluster, [[`large/${i}`, value]]);
      const seen = await records(await open(cluster, { pages: { receiveBytes: 3_000_000 } }));
      expect(seen.map((kv) => kv.value.length)).toEqual([...Array(5).fill(1_400_000), ...Array(9).fill(1)]);
    });

    test('prefixes and exclusions: nothing else is read', async () => {
      const all = ['a/1', 'a/2', 'a/x/1', 'a/x/2', 'a0', 'b/1', 'c/1', 'c/2'];
      await write(
        cluster,
        all.map((key) => [key, key]),
      );
      const selection = {
        prefixes: ['c/', 'a/', 'a/x'].map((p) => Buffer.from(p)),
        excludePrefixes: [Buffer.from('a/x/1'), Buffer.from('c/2')],
      };
      const source = await open(cluster, { selection });
      expect(keysOf(await records(source))).toEqual(['a/1', 'a/2', 'a/x/2', 'c/1']);
      expect(source.info.estimatedRecords).toBe(4);
      const none = await open(cluster, { selection: { prefixes: [Buffer.from('a/')], excludePrefixes: [Buffer.from('a')] } });
      expect(await records(none)).toEqual([]);
    });

    test('an older revision, a compacted one, one of the future', async () => {
      await write(cluster, [['k', 'old']]);
      const { revision } = await cluster.status();
      await write(cluster, [['k', 'new']]);
      const source = await open(cluster, { revision });
      expect(source.info.revision).toBe(revision);
      expect((await records(source)).map(({ value }) => value.toString())).toEqual(['old']);
      expect((await failure(open(cluster, { revision: revision + 1000n }))).code).toBe('future-revision');
      await server.etcdctl('compact', String(revision + 1n));
      expect(await failure(open(cluster, { revision }))).toMatchObject({ code: 'compacted', exit: 2 });
    });

    test('a compaction during the read ends it with `compacted`; a new source over the same cluster reads all', async () => {
      const keys = Array.from({ length: 3000 }, (_, i) => `k/${String(i).padStart(5, '0')}`);
      await write(
        cluster,
        keys.map((key) => [key, 'x']),
      );
      const source = await open(cluster, { pages: SMALL_PAGES });
      await write(cluster, [['later', 'x']]);
      const { revision } = await cluster.status();
      const compact = async (): Promise<void> => void (await server.etcdctl('compact', String(revision)).catch(() => {}));
      const error = await failure(records(source, compact));
      expect(error.code).toBe('compacted');
      expect(error.message).toContain(`revision ${source.info.revision} was compacted away`);
      expect(error.hint).toContain('--via snapshot');
      expect(keysOf(await records(await open(cluster, { pages: SMALL_PAGES })))).toEqual([...keys, 'later']);
    });

    test('leases: all there are, sorted by signed id; one that goes meanwhile has vanished', async () => {
      const first = etcd.minor === '3.4' ? 7n : -7n;
      for (const id of [3000n, first, 20n]) await cluster.leaseGrant(id, 1000n);
      await write(cluster, [
        ['l/1', 'x', first],
        ['l/2', 'x', 3000n],
        ['l/3', 'x', 3000n],
        ['l/4', 'x'],
        ['l/5', Buffer.alloc(300), first],
      ]);
      const source = await open(cluster);
      await cluster.leaseRevoke(3000n);
      const seen = await leases(source);
      expect(seen.map(({ id }) => id)).toEqual([first, 20n, 3000n]);
      expect(seen[0]).toMatchObject({ grantedTtl: 1000n, origin: 'lease' });
      expect(Number(seen[0]?.remainingTtl)).toBeGreaterThan(990);
      expect(seen[2]).toMatchObject({ grantedTtl: 0n, remainingTtl: -1n });
      expect((await records(source)).map((kv) => kv.lease)).toEqual([first, 3000n, 3000n, 0n, first]);
      expect(source.notes.list()).toMatchObject([{ code: 'lease-vanished', count: 2, examples: ['bb8', 'bb8'], lossy: false }]);
      for (const id of [first, 20n]) await cluster.leaseRevoke(id);
    });

    test('leases that may not be listed are asked for one by one, as the records at the pinned revision name them', async () => {
      for (const id of [5000n, 5001n, 5002n, 5003n]) await cluster.leaseGrant(id, 1000n);
      await write(cluster, [
        ['o/1', 'x', 5000n],
        ['o/2', 'x', 5001n],
        ['o/3', 'x', 5002n],
        ['p/1', 'x', 5003n],
      ]);
      const refused = new Proxy(cluster, {
        get: (target, name) => {
          const denied = async (): Promise<never> => Promise.reject(rpcError({ code: 7, details: 'etcdserver: permission denied' }, 'x'));
          if (name === 'leases') return denied;
          if (name === 'leaseState') return (id: bigint) => (id === 5001n ? denied() : target.leaseState(id));
          const member: unknown = Reflect.get(target, name);
          return typeof member === 'function' ? member.bind(target) : member;
        },
      });
      const source = await open(refused, { selection: { prefixes: [Buffer.from('o/')], excludePrefixes: [] } });
      await write(cluster, [['o/4', 'x', 5003n]]);
      await cluster.leaseRevoke(5002n);
      expect((await leases(source)).map(({ id, grantedTtl, remainingTtl }) => [id, grantedTtl, remainingTtl > 0n])).toEqual([
        [5000n, 1000n, true],
        [5002n, 0n, false],
      ]);
      expect((await records(source)).map((kv) => kv.lease)).toEqual([5000n, 5001n, 5002n]);
      expect(source.notes.list()).toMatchObject([
        { code: 'leases-not-listed', count: 1, examples: ['1389'], lossy: false },
        { code: 'lease-vanished', count: 1, examples: ['138a'], lossy: false },
        { code: 'lease-not-told', count: 1, examples: ['"o/2"'], lossy: true },
      ]);
      for (const id of [5000n, 5001n, 5003n]) await cluster.leaseRevoke(id);
    });
  });
}

describe('faults', () => {
  let server: EtcdServer;
  let keys: string[];
  beforeAll(async () => {
    server = await EtcdServer.start(newestEtcd());
    const cluster = await connectV3(clusterOptions(server.endpoint));
    keys = Array.from({ length: 5000 }, (_, i) => `k/${String(i).padStart(5, '0')}`);
    await write(
      cluster,
      keys.map((key) => [key, 'x'.repeat(200)]),
    );
    await cluster.close();
  });
  afterAll(() => server.stop());

  test('an endpoint that dies in the middle of the read: the other one gives the rest', async () => {
    let bytes = 0;
    await using first = await TcpProxy.start(server.port, (proxy, length) => {
      bytes += length;
      if (bytes > 500_000) proxy.die();
    });
    await using second = await TcpProxy.start(server.port);
    const cluster = await connectV3(clusterOptions([first.endpoint, second.endpoint]));
    expect(keysOf(await records(await open(cluster, { pages: SMALL_PAGES })))).toEqual(keys);
    expect(bytes).toBeGreaterThan(500_000);
    expect(second.accepted).toBeGreaterThan(0);
    await cluster.close();
  });

  test('both endpoints gone: unreachable, and no records are made up', async () => {
    let bytes = 0;
    await using proxy = await TcpProxy.start(server.port, (self, length) => {
      bytes += length;
      if (bytes > 500_000) self.die();
    });
    const cluster = await connectV3(clusterOptions(proxy.endpoint, { dialTimeout: 600 }));
    expect((await failure(records(await open(cluster, { pages: SMALL_PAGES })))).code).toBe('unreachable');
    await cluster.close();
  });

  test('interrupting, and closing the source, end the read', async () => {
    const cluster = await connectV3(clusterOptions(server.endpoint));
    const stop = new AbortController();
    const source = await openLiveV3({ cluster, selection: EVERYTHING, pages: SMALL_PAGES }, quietRun(stop.signal));
    const reason = new Error('stopped');
    await expect(records(source, async () => stop.abort(reason))).rejects.toBe(reason);
    const closed = await open(cluster, { pages: SMALL_PAGES });
    expect((await failure(records(closed, () => closed.close()))).message).toBe('the source was closed');
    await cluster.close();
  });
});
