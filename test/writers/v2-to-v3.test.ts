import { tmpdir } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { isExpirationLease } from '../../src/convert/v2-expiration.js';
import { convertTree } from '../../src/convert/v2-to-v3.js';
import { recordAt } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { openLiveV2 } from '../../src/readers/live-v2.js';
import { openLiveV3 } from '../../src/readers/live-v3.js';
import type { FindKey } from '../../src/sort/key.js';
import { sortRecords } from '../../src/sort/sorter.js';
import { decodeKeyValue, keyOf } from '../../src/wire/keyvalue.js';
import { restoreLiveV3 } from '../../src/writers/live-v3.js';
import { clusterOptions } from '../support/cluster.js';
import { EtcdServer, etcdVersions, etcdWithV2 } from '../support/etcd.js';
import { connectTo, V2Client, writeArticleTree, writeEveryKind } from '../support/v2.js';

const run = quietRun();

async function keyValues(source: Source): Promise<KeyValue[]> {
  const all: KeyValue[] = [];
  for await (const batch of source.records()) for (let i = 0; i < batch.count; i++) all.push(decodeKeyValue(recordAt(batch, i)));
  return all;
}

const findKey: FindKey = (bytes, start, end, range) => {
  const key = keyOf(bytes, start, end);
  range.start = key.byteOffset - bytes.byteOffset;
  range.end = range.start + key.length;
};

/** What a job does with a converted tree: records in the order of keys. */
function inKeyOrder(source: Source): Source {
  const records = () => sortRecords(source.records(), { findKey, tmpDir: tmpdir() }, run);
  return { ...source, info: { ...source.info, order: 'key' }, records };
}

describe.each(etcdVersions())('a v2 tree into the v3 keyspace of etcd $version', (etcd) => {
  let from: EtcdServer;
  let to: EtcdServer;
  beforeAll(async () => {
    from = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    to = await EtcdServer.start(etcd);
    await writeArticleTree(new V2Client(from.endpoint));
    await writeEveryKind(new V2Client(from.endpoint));
  });
  afterAll(async () => {
    await Promise.all([from.stop(), to.stop()]);
  });

  test('arrives key by key, with leases where TTLs were, and a second run writes nothing', async () => {
    const v2 = connectTo(from.endpoint);
    const v3 = await connectV3(clusterOptions(to.endpoint));
    const tree = await openLiveV2({ cluster: v2, includeHidden: ['/_top', '/app/_hidden'] }, run);
    const source = inKeyOrder(await convertTree(tree));
    const written = await restoreLiveV3(source, v3, { leaseTtl: 'deadline' }, run);
    const expected = await keyValues(source);
    expect(written).toMatchObject({ written: expected.length, leftOut: 0 });

    expect(await to.etcdctl('get', '/bar/', '--prefix')).toBe('/bar/that\nother\n/bar/this\nthat');
    const copy = await openLiveV3({ cluster: v3, selection: EVERYTHING }, run);
    const bare = (all: KeyValue[]) => all.map(({ key, value, lease }) => ({ key: key.toString(), value, lease }));
    expect(bare(await keyValues(copy))).toEqual(bare(expected));
    expect(expected.filter(({ lease }) => isExpirationLease(lease)).map(({ key }) => key.toString())).toEqual([
      '/app/refreshed',
      '/ttl/dir/child',
      '/ttl/dir/shorter',
      '/ttl/file',
    ]);
    for await (const leases of source.leases()) {
      for (const lease of leases) {
        const state = await v3.leaseState(lease.id);
        expect(Math.abs(Number((state?.remainingTtl ?? 0n) - lease.remainingTtl))).toBeLessThan(15);
      }
    }
    expect(source.notes.list().map(({ code }) => code)).toEqual(expect.arrayContaining(['empty-directory', 'value-not-utf8']));

    const again = await convertTree(tree);
    const second = await restoreLiveV3(inKeyOrder(again), v3, { leaseTtl: 'deadline' }, run);
    expect(second).toMatchObject({ written: 0, overwritten: 0, leasesGranted: 0, equal: expected.length });
    await Promise.all([tree.close(), copy.close(), v2.close(), v3.close()]);
  });
});
