import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SnapshotStream, V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { FerryError } from '../../src/errors.js';
import { quietRun } from '../../src/model/run.js';
import { delegate, EVERYTHING, type Source } from '../../src/model/source.js';
import { openLiveSnapshot, spoolSnapshot } from '../../src/readers/live-v3-snapshot.js';
import { encodeTxn } from '../../src/wire/rpc-request.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdServer, etcdVersions, newestEtcd } from '../support/etcd.js';
import { TcpProxy } from '../support/tcp-proxy.js';

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'snapshot-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

for (const etcd of etcdVersions()) {
  describe(`etcd ${etcd.version}`, () => {
    let server: EtcdServer;
    let cluster: V3Cluster;
    beforeAll(async () => {
      server = await EtcdServer.start(etcd);
      cluster = await connectV3(clusterOptions(server.endpoint));
      for (let i = 0; i < 40; i++) {
        const put = { kind: 'put' as const, key: Buffer.from(`k/${i}`), value: Buffer.alloc(100_000, i), lease: 0n };
        await cluster.call('KV/Txn', encodeTxn({ compares: [], success: [put], failure: [] }));
      }
    });
    afterAll(async () => {
      await cluster.close();
      await server.stop();
    });

    test('is a snapshot file that etcd itself takes, and leaves no name behind', async () => {
      const { bytes: snapshot } = await spoolSnapshot(cluster, dir, quietRun());
      expect(readdirSync(dir)).toEqual([]);
      expect(snapshot.size % 512).toBe(32);
      const path = join(dir, 'taken.db');
      writeFileSync(path, await snapshot.read(0, snapshot.size));
      await snapshot.close();
      const status = JSON.parse(
        await server.run(etcd.snapshotTool.split('/').at(-1) as string, ['snapshot', 'status', path, '-w', 'json'], { ETCDCTL_API: '3' }),
      );
      // 40 puts after revision 1. (3.4 and 3.5 check the hash on restore.)
      expect(status).toMatchObject({ revision: 41 });
      await server.run(etcd.snapshotTool.split('/').at(-1) as string, ['snapshot', 'restore', path, '--data-dir', join(dir, 'restored')], {
        ETCDCTL_API: '3',
      });
      for (const name of readdirSync(dir)) rmSync(join(dir, name), { recursive: true });
    });

    test('a connection lost in the middle is an error, and the spool is gone', async () => {
      let bytes = 0;
      await using proxy = await TcpProxy.start(server.port, (self, length) => {
        bytes += length;
        if (bytes > 1_000_000) self.cut();
      });
      const cut = await connectV3(clusterOptions(proxy.endpoint));
      expect((await failure(spoolSnapshot(cut, dir, quietRun()))).code).toBe('unreachable');
      expect(readdirSync(dir)).toEqual([]);
      await cut.close();
    });

    test('a server that stalls in the middle, and an interruption, end it', async () => {
      let bytes = 0;
      await using proxy = await TcpProxy.start(server.port, (self, length) => {
        bytes += length;
        if (bytes > 1_000_000) self.stall();
      });
      const stalled = await connectV3(clusterOptions(proxy.endpoint, { commandTimeout: 500 }));
      const started = Date.now();
      expect(await failure(spoolSnapshot(stalled, dir, quietRun()))).toMatchObject({
        code: 'unreachable',
        message: `${proxy.endpoint}: no answer in time`,
      });
      expect(Date.now() - started).toBeLessThan(4500);
      await stalled.close();
      const stop = new AbortController();
      const reason = new FerryError('interrupted', 'stop');
      const run = { ...quietRun(stop.signal), progress: () => stop.abort(reason) };
      await expect(spoolSnapshot(cluster, dir, run)).rejects.toBe(reason);
    });

    test('a stream that ends early, or was changed, is not believed', async () => {
      const blobs: Buffer[] = [];
      const whole = await cluster.snapshot();
      for await (const blob of whole.blobs) blobs.push(blob);
      const faked = (change: (all: Buffer[]) => Buffer[]): V3Cluster =>
        Object.assign(Object.create(cluster) as V3Cluster, {
          location: 'fake',
          snapshot: async () => ({ ...whole, blobs: Readable.from(change(blobs)) }),
        });
      expect(
        (
          await (
            await spoolSnapshot(
              faked((all) => all),
              dir,
              quietRun(),
            )
          ).bytes.read(0, 16)
        ).length,
      ).toBe(16);
      const early = await failure(
        spoolSnapshot(
          faked((all) => all.slice(0, -1)),
          dir,
          quietRun(),
        ),
      );
      expect(early).toMatchObject({ code: 'damaged' });
      expect(early.message).toContain('without the hash');
      const flip = (all: Buffer[]): Buffer[] =>
        all.map((blob, i) => (i === 3 ? Buffer.from(blob.map((byte, at) => (at === 7 ? byte ^ 1 : byte))) : blob));
      expect((await failure(spoolSnapshot(faked(flip), dir, quietRun()))).message).toContain('differs from the hash');
      expect(
        (
          await failure(
            spoolSnapshot(
              faked(() => []),
              dir,
              quietRun(),
            ),
          )
        ).code,
      ).toBe('damaged');
    });
  });
}

describe('what a snapshot is told of', () => {
  let server: EtcdServer;
  let cluster: V3Cluster;
  beforeAll(async () => {
    server = await EtcdServer.start(newestEtcd());
    cluster = await connectV3(clusterOptions(server.endpoint));
    await server.etcdctl('put', 'k', 'v');
  });
  afterAll(async () => {
    await cluster.close();
    await server.stop();
  });
  const told = (more: Partial<SnapshotStream>): V3Cluster =>
    Object.assign(Object.create(cluster) as V3Cluster, { snapshot: async () => ({ ...(await cluster.snapshot()), ...more }) });
  const options = (of: V3Cluster) => ({ cluster: of, selection: EVERYTHING, tmpDir: dir });

  test('one that ends before what its member had told is refused, at an earlier revision too', async () => {
    for (const revision of [undefined, 1n]) {
      const older = { ...options(told({ atLeast: 3n })), ...(revision === undefined ? {} : { revision }) };
      expect(await failure(openLiveSnapshot(older, quietRun()))).toMatchObject({
        code: 'not-up-to-date',
        message: `${cluster.location}: the snapshot ends at revision 2, and 3 had been told before`,
      });
    }
    await using source = closed(await openLiveSnapshot(options(told({ atLeast: 2n })), quietRun()));
    expect([source.info.revision, source.info.lastingNotes, source.notes.list()]).toEqual([2n, undefined, []]);
  });

  test('what speaks against its member is noted, for good', async () => {
    await using source = closed(await openLiveSnapshot(options(told({ atLeast: 0n, doubt: 'has no leader' })), quietRun()));
    const note = expect.objectContaining({
      code: 'member-not-up-to-date',
      message: expect.stringContaining('has no leader'),
      lossy: false,
    });
    expect(source.info).toMatchObject({ kind: 'live', memberId: expect.any(BigInt), lastingNotes: [note] });
    expect(source.notes.list()).toEqual([note]);
  });
});

function closed(source: Source): Source & AsyncDisposable {
  return Object.assign(delegate(source), { [Symbol.asyncDispose]: () => source.close() });
}

test('a temporary directory that is not there', async () => {
  const cluster = { snapshot: async () => ({ status: { dbSize: 1n }, atLeast: 0n, blobs: Readable.from([]) }) } as unknown as V3Cluster;
  expect((await failure(spoolSnapshot(cluster, join(dir, 'none'), quietRun()))).code).toBe('not-found');
});
