import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { FerryError } from '../../src/errors.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { quietRun } from '../../src/model/run.js';
import { restoreLiveV3 } from '../../src/writers/live-v3.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdServer, etcdVersions, newestEtcd } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv, lease, sourceOf } from '../support/source.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const many = (prefix: string, count: number): KeyValue[] => Array.from({ length: count }, (_, i) => kv(`${prefix}${i}`, `value ${i}`));
const isPut = (request: Uint8Array, method: string, key: string): boolean => method === 'KV/Txn' && Buffer.from(request).includes(key);

for (const etcd of etcdVersions()) {
  describe(`faults while restoring into etcd ${etcd.version}`, () => {
    let target: RestoreTarget;
    beforeAll(async () => {
      target = await RestoreTarget.start(etcd);
    });
    afterAll(() => target[Symbol.asyncDispose]());

    /** A connection that does something right before the first transaction that puts `key`. */
    const rightBefore = (key: string, act: () => Promise<void>): RestoreTarget['cluster'] => {
      let done = false;
      return target.watched(async (request, method, pass) => {
        if (!done && isPut(request, method, key)) {
          done = true;
          await act();
        }
        return pass();
      });
    };

    describe('a key that appears between comparing and writing', () => {
      it('stops the run under fail, and the key stays', async () => {
        const through = rightBefore('/fail/42', () => target.put('/fail/42', 'mine'));
        const error = await failure(target.restore(many('/fail/', 300), { through }));
        expect(error.code).toBe('in-the-way');
        expect(error.message).toContain('key "/fail/42" appeared in the target while it was being written');
        expect((await target.texts('/fail/'))['/fail/42']).toBe('mine');
      });

      it('is skipped under skip; the rest of its transaction is written', async () => {
        const through = rightBefore('/skip/42', () => target.put('/skip/42', 'mine'));
        const report = await target.restore(many('/skip/', 300), { through, onConflict: 'skip' });
        expect(report).toMatchObject({ written: 299, skipped: 1, equal: 0 });
        expect((await target.texts('/skip/'))['/skip/42']).toBe('mine');
      });

      it('is replaced under overwrite', async () => {
        const through = rightBefore('/over/42', () => target.put('/over/42', 'mine'));
        const report = await target.restore(many('/over/', 300), { through, onConflict: 'overwrite' });
        expect(report).toMatchObject({ written: 299, overwritten: 1 });
        expect((await target.texts('/over/'))['/over/42']).toBe('value 42');
      });

      it('is no conflict when it is equal', async () => {
        const through = rightBefore('/same/42', () => target.put('/same/42', 'value 42'));
        expect(await target.restore(many('/same/', 300), { through })).toMatchObject({ written: 299, equal: 1 });
      });

      it('does not matter when it is no key of the source', async () => {
        const through = rightBefore('/none/42', () => target.put('/none/42x', 'mine'));
        expect(await target.restore(many('/none/', 300), { through })).toMatchObject({ written: 300 });
        expect((await target.texts('/none/'))['/none/42x']).toBe('mine');
      });
    });

    it('replaces only what was seen: a value that changes meanwhile is looked at again', async () => {
      await target.put('/seen/42', 'old');
      const through = rightBefore('/seen/42', () => target.put('/seen/42', 'newer'));
      expect(await target.restore(many('/seen/', 300), { through, onConflict: 'overwrite' })).toMatchObject({
        written: 299,
        overwritten: 1,
      });
      expect((await target.texts('/seen/'))['/seen/42']).toBe('value 42');
    });

    it('gives up on a key that changes each time', async () => {
      await target.put('/busy/0', 'old');
      let n = 0;
      const through = target.watched(async (request, method, pass) => {
        if (isPut(request, method, 'value 0')) await target.put('/busy/0', `${n++}`);
        return pass();
      });
      const error = await failure(target.restore(many('/busy/', 1), { through, onConflict: 'overwrite' }));
      expect(error.message).toContain('"/busy/0" changed in the target each time');
    });

    it('settles a transaction whose answer is lost: carried out, it is not repeated', async () => {
      let lost = 0;
      const through = target.watched(async (request, method, pass) => {
        const answer = await pass();
        if (isPut(request, method, 'value 7') && lost++ === 0) throw new FerryError('unreachable', 'the answer was lost');
        return answer;
      });
      const start = await target.revision();
      const report = await target.restore(many('/lost/', 300), { through });
      expect(lost).toBe(1);
      expect(report).toMatchObject({ written: 300, equal: 0 });
      expect((await target.revision()) - start).toBe(3n);
    });

    it('settles a transaction that never arrived: it is sent again', async () => {
      let lost = 0;
      const through = target.watched(async (request, method, pass) => {
        if (isPut(request, method, 'value 7') && lost++ === 0) throw new FerryError('unreachable', 'the connection was lost');
        return pass();
      });
      expect(await target.restore(many('/never/', 300), { through })).toMatchObject({ written: 300, equal: 0 });
    });

    it('goes on when the connection is cut again and again', async () => {
      let seen = 0;
      let cuts = 0;
      await using proxy = await TcpProxy.start(target.server.port, (self, length) => {
        seen += length;
        if (seen < 5000 || cuts === 5) return;
        seen = 0;
        cuts++;
        self.cut();
      });
      const through = await connectV3(clusterOptions(proxy.endpoint));
      const records = many('/cut/', 3000);
      const report = await target.restore(records, { through }, { batch: 500 });
      expect(cuts).toBe(5);
      expect(report.written + report.equal).toBe(3000);
      const there = await target.dump('/cut/');
      expect(there).toHaveLength(3000);
      expect(there.every(({ version }) => version === 1n)).toBe(true);
      await through.close();
    });

    it('stops when it is aborted, leaves no transaction on its way, and goes on when run again', async () => {
      const stop = new AbortController();
      const reason = new FerryError('interrupted', 'interrupted');
      let pending = 0;
      let batches = 0;
      const through = target.watched(async (_request, _method, pass) => {
        pending++;
        return pass().finally(() => pending--);
      });
      const records = many('/abort/', 2000);
      const source = sourceOf(records, { batch: 500, onBatch: () => void (++batches === 7 && stop.abort(reason)) });
      await expect(restoreLiveV3(source, through, {}, quietRun(stop.signal))).rejects.toBe(reason);
      expect(pending).toBe(0);
      const written = (await target.dump('/abort/')).length;
      expect(written).toBeGreaterThan(0);
      expect(written).toBeLessThan(2000);
      expect(await target.restore(records)).toMatchObject({ written: 2000 - written, equal: written });
    });
  });
}

describe('a target that dies while it is restored into', () => {
  it('fails as unreachable when the target is gone; run again, it ends in the same state', async () => {
    const server = await EtcdServer.start(newestEtcd());
    // A new server listens before it has a leader; once it has, it is connected to at once.
    await (await connectV3(clusterOptions(server.endpoint))).close();
    const cluster = await connectV3(clusterOptions(server.endpoint, { dialTimeout: 1000 }));
    const records = many('/gone/', 2000).map((record, i) => ({ ...record, lease: i % 3 === 0 ? 0x99n : 0n }));
    const made = { batch: 100, leases: [lease(0x99n, 900n)] };
    let batches = 0;
    const dying = sourceOf(records, { ...made, onBatch: async () => void (++batches === 38 && (await server.kill('SIGKILL'))) });
    expect((await failure(restoreLiveV3(dying, cluster, {}, quietRun()))).code).toBe('unreachable');
    await cluster.close();

    await using again = await EtcdServer.start(newestEtcd(), { dataDir: server.dataDir });
    const second = await connectV3(clusterOptions(again.endpoint));
    const report = await restoreLiveV3(sourceOf(records, made), second, {}, quietRun());
    expect(report.written + report.equal).toBe(2000);
    expect(report.equal).toBeGreaterThan(0);
    const { revision } = await second.status();
    expect(await restoreLiveV3(sourceOf(records, made), second, {}, quietRun())).toMatchObject({
      equal: 2000,
      leasesGranted: 0,
      revision,
    });
    expect((await second.status()).revision).toBe(revision);
    await second.close();
    await server.stop();
  });
});
