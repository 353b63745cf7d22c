import { expect, test } from 'vitest';
import type { V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import type { RecordBatch } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING } from '../../src/model/source.js';
import { openLiveV3 } from '../../src/readers/live-v3.js';
import { withinStored } from '../../src/readers/live-v3-limit.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdStandIn } from '../support/etcd-stand-in.js';

const MIB = 1 << 20;
const page: RecordBatch = { bytes: Buffer.alloc(MIB), starts: new Uint32Array(1), ends: new Uint32Array(1), count: 0 };

async function* pages(count: number): AsyncGenerator<RecordBatch> {
  for (let i = 0; i < count; i++) yield page;
}

/** @param later what the database's size is when it is asked for again */
async function megabytesOf(count: number, stored: Parameters<typeof withinStored>[2], later?: bigint): Promise<number> {
  const cluster = { location: 'here', about: async () => (later === undefined ? {} : { dbSize: later }) } as unknown as V3Cluster;
  let read = 0;
  for await (const _ of withinStored(pages(count), cluster, stored)) read++;
  return read;
}

test('pages are read as far as the database can give', async () => {
  const stored = { clusterId: 7n, dbSize: BigInt(MIB) };
  expect(await megabytesOf(65, stored)).toBe(65);
  expect(await failure(megabytesOf(66, stored, BigInt(MIB)))).toMatchObject({
    code: 'failed',
    message: `here: keys have not ended after ${66 * MIB} bytes, and its database has ${MIB}`,
  });
  expect(await megabytesOf(66, stored, BigInt(2 * MIB))).toBe(66);
  expect(await megabytesOf(80, { ...stored, clusterId: 0n }, 1n)).toBe(80);
  expect((await failure(megabytesOf(81, { ...stored, clusterId: 0n }, 1n))).code).toBe('failed');
  expect(await megabytesOf(200, { clusterId: 7n })).toBe(200);
});

test('a server that always has one more key is not read without end', async () => {
  let n = 0;
  const value = Buffer.alloc(MIB);
  const answer = ({ key }: { key: Buffer }): object => {
    const next = Buffer.concat([key, Buffer.from(String(n++ % 10))]);
    return { kvs: [{ key: next, value, createRevision: 1, modRevision: 1, version: 1 }], more: true, count: 1e9 };
  };
  await using server = await EtcdStandIn.start({}, { Range: answer });
  const cluster = await connectV3(clusterOptions(server.endpoint));
  const source = await openLiveV3({ cluster, selection: EVERYTHING }, quietRun());
  const reading = (async () => {
    for await (const _ of source.records());
  })();
  expect((await failure(reading)).message).toContain('keys have not ended');
  await source.close();
  await cluster.close();
});
