import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import { FerryError } from '../../src/errors.js';
import type { RecordBatch } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { Progress } from '../../src/model/run.js';
import { quietRun } from '../../src/model/run.js';
import { restoreLiveV3 } from '../../src/writers/live-v3.js';
import { failure } from '../support/cluster.js';
import { etcdVersions, strictQuota } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv, sourceOf } from '../support/source.js';

const many = (prefix: string, count: number): KeyValue[] => Array.from({ length: count }, (_, i) => kv(`${prefix}${i}`, `value ${i}`));
const content = (records: readonly KeyValue[]): [string, string][] =>
  [...records].sort((a, b) => Buffer.compare(a.key, b.key)).map(({ key, value }) => [key.toString('hex'), value.toString('hex')]);

for (const etcd of etcdVersions()) {
  describe(`restoreLiveV3 into etcd ${etcd.version}`, () => {
    let target: RestoreTarget;
    beforeAll(async () => {
      target = await RestoreTarget.start(etcd);
    });
    afterAll(() => target[Symbol.asyncDispose]());

    it('writes every record into an empty target, in full transactions', async () => {
      const records = many('/full/', 1500);
      const report = await target.restore(records, {}, { batch: 700 });
      expect(content(await target.dump('/full/'))).toEqual(content(records));
      // 700 records are five transactions of 128 and one of 60.
      expect(report).toMatchObject({ dryRun: false, records: 1500, written: 1500, equal: 0, transactions: 13, notes: [] });
      expect(report.bytes).toBe(records.reduce((sum, { key, value }) => sum + key.length + value.length, 0));
      expect(report.revision).toBe(await target.revision());
    });

    it('writes nothing the second time', async () => {
      const records = many('/again/', 300);
      await target.restore(records);
      const before = await target.revision();
      const report = await target.restore(records);
      expect(report).toMatchObject({ records: 300, written: 0, equal: 300, transactions: 0, bytes: 0, revision: before });
      expect(await target.revision()).toBe(before);
    });

    it('takes keys and values of any bytes, and empty values', async () => {
      const records = [
        kv(Buffer.from([0x00])),
        kv(Buffer.from([0xff, 0xff]), Buffer.from([0, 0xff, 0xc3, 0x28])),
        kv(Buffer.from([0xff, 0x00])),
        kv(Buffer.from('/bytes/\ud800', 'utf16le'), ''),
      ];
      await target.restore(records);
      expect(await target.restore(records)).toMatchObject({ written: 0, equal: 4 });
    });

    it('does nothing for a source without records', async () => {
      expect(await target.restore([])).toMatchObject({ records: 0, written: 0, revision: await target.revision() });
    });

    it('fails before the first write when a key has another value, naming how many and the first few', async () => {
      await target.put('/fail/3', 'mine');
      await target.put('/fail/5', 'mine');
      const before = await target.revision();
      const error = await failure(target.restore(many('/fail/', 300), {}, { batch: 100 }));
      expect(error.code).toBe('in-the-way');
      expect(error.message).toContain('2 keys are in the target with another value or lease: "/fail/3", "/fail/5"');
      expect(await target.revision()).toBe(before);
    });

    it('leaves alone what is there with --on-conflict skip, and what is equal', async () => {
      await target.put('/skip/3', 'mine');
      await target.put('/skip/4', 'value 4');
      const report = await target.restore(many('/skip/', 300), { onConflict: 'skip' });
      expect(report).toMatchObject({ records: 300, written: 298, skipped: 1, equal: 1, overwritten: 0 });
      expect((await target.texts('/skip/'))['/skip/3']).toBe('mine');
    });

    it('replaces what is there with --on-conflict overwrite, but for what is equal', async () => {
      await target.put('/over/3', 'mine');
      await target.put('/over/4', 'value 4');
      const report = await target.restore(many('/over/', 300), { onConflict: 'overwrite' });
      expect(report).toMatchObject({ records: 300, written: 298, overwritten: 1, equal: 1, skipped: 0 });
      const versions = new Map((await target.dump('/over/')).map(({ key, version }) => [key.toString(), version]));
      expect([versions.get('/over/3'), versions.get('/over/4'), versions.get('/over/5')]).toEqual([2n, 1n, 1n]);
    });

    it('leaves foreign keys between its own alone, be they few or many', async () => {
      await target.restore(many('/foreign/1', 2000));
      const report = await target.restore([kv('/foreign/0', 'a'), kv('/foreign/1000x', 'b'), kv('/foreign/2', 'c')]);
      expect(report).toMatchObject({ written: 3, equal: 0 });
      expect(await target.dump('/foreign/')).toHaveLength(2003);
      expect(await target.restore([kv('/foreign/1000x', 'b'), kv('/foreign/0', 'a')])).toMatchObject({ written: 0, equal: 2 });
    });

    it('says what it would do in a dry run, and changes nothing', async () => {
      await target.put('/dry/3', 'mine');
      await target.put('/dry/4', 'value 4');
      const before = await target.revision();
      const options = { onConflict: 'overwrite', dryRun: true } as const;
      const report = await target.restore(many('/dry/', 300), options);
      expect(report).toMatchObject({ dryRun: true, records: 300, written: 298, overwritten: 1, equal: 1, revision: before });
      expect(await target.revision()).toBe(before);
      const { transactions: _, dryRun: __, revision: ___, ...done } = await target.restore(many('/dry/', 300), { onConflict: 'overwrite' });
      expect(report).toMatchObject(done);
    });

    it('takes a value of 1.4 MB, cuts transactions by bytes, and compares such values', async () => {
      const records = Array.from({ length: 12 }, (_, i) => kv(`/big/${i}`, Buffer.alloc(i === 5 ? 1_400_000 : 400_000, i)));
      const report = await target.restore(records);
      expect(report.written).toBe(12);
      expect(content(await target.dump('/big/'))).toEqual(content(records));
      expect(await target.restore(records)).toMatchObject({ written: 0, equal: 12 });
    });

    it('compares a batch in as many pages as it takes, whether of many keys or of large values', async () => {
      const records = many('/pages/', 3000);
      await target.restore(records, {}, { batch: 3000 });
      expect(await target.restore(records, { dryRun: true }, { batch: 3000 })).toMatchObject({ written: 0, equal: 3000 });
      // 42 MB, more than one answer may have.
      const large = Array.from({ length: 60 }, (_, i) => kv(`/large/${i}`, Buffer.alloc(700_000, i)));
      await target.restore(large);
      expect(await target.restore(large, { dryRun: true })).toMatchObject({ written: 0, equal: 60 });
    });

    it('refuses a value the server does not take before anything is written, naming key and size', async () => {
      const before = await target.revision();
      const error = await failure(target.restore([kv('/huge/a', 'x'), kv('/huge/b', Buffer.alloc(1_800_000))]));
      expect(error.message).toContain('key "/huge/b" has a value of 1800000 bytes');
      expect(error.hint).toContain('--max-request-bytes');
      const beyondGrpc = await failure(target.restore([kv('/huge/a', 'x'), kv('/huge/b', Buffer.alloc(8_000_000))]));
      expect(beyondGrpc.message).toContain('8000000 bytes');
      expect(await target.revision()).toBe(before);
    });

    it('falls back to what the server takes when told larger bounds', async () => {
      const report = await target.restore(many('/ops/', 600), { maxTxnOps: 500 });
      expect(report).toMatchObject({ written: 600 });
      const values = Array.from({ length: 20 }, (_, i) => kv(`/mib/${i}`, Buffer.alloc(300_000, i)));
      expect(await target.restore(values, { maxRequestBytes: 8 << 20 })).toMatchObject({ written: 20 });
      expect(content(await target.dump('/mib/'))).toEqual(content(values));
    });

    it('writes only selected keys, under their new names', async () => {
      const records = [...many('/sel/a/', 5), ...many('/sel/b/', 5), kv('/sel/a/secret/x', 'no')];
      const selection = { prefixes: [Buffer.from('/sel/a/')], excludePrefixes: [Buffer.from('/sel/a/secret/')] };
      const mapping = parseKeyMapping({ map: ['/sel/a/=/sel/c/'] });
      expect(await target.restore(records, { selection, mapping })).toMatchObject({ records: 5, written: 5 });
      expect(Object.keys(await target.texts('/sel/'))).toEqual([0, 1, 2, 3, 4].map((i) => `/sel/c/${i}`));
    });

    it('writes keys whose order a mapping changes, and finds nothing to do the second time', async () => {
      const records = [...many('/ord/a/', 300), ...many('/ord/b/', 300), ...many('/ord/m/', 300)];
      const mapping = parseKeyMapping({ map: ['/ord/a/=/ord/x/', '/ord/m/=/ord/c/'] });
      const report = await target.restore(records, { mapping }, { batch: 70 });
      expect(report).toMatchObject({ records: 900, written: 900 });
      const wanted = records.map((record) => ({ ...record, key: mapping.mapKey(record.key) }));
      expect(content(await target.dump('/ord/'))).toEqual(content(wanted));
      const before = await target.revision();
      expect(await target.restore(records, { mapping })).toMatchObject({ written: 0, equal: 900 });
      expect(await target.revision()).toBe(before);
    });

    it('finds two keys that would become one before the first write, and names both', async () => {
      const before = await target.revision();
      const mapping = parseKeyMapping({ map: ['/col/a/=/col/b/'] });
      const records = [...many('/col/a/', 200), ...many('/col/b/1', 200), kv('/col/b/77', 'x')];
      const error = await failure(target.restore(records, { mapping }, { batch: 50 }));
      expect(error.code).toBe('usage');
      expect(error.message).toMatch(/collision: keys "\/col\/a\/\d+" and "\/col\/b\/\d+" would both become/);
      expect(await target.revision()).toBe(before);
    });

    it('writes nothing when one key is not under the strip prefix', async () => {
      const before = await target.revision();
      const error = await failure(target.restore([kv('/strip/a'), kv('/zzz')], { mapping: parseKeyMapping({ stripPrefix: '/strip' }) }));
      expect(error.code).toBe('usage');
      expect(error.message).toContain('"/zzz"');
      expect(await target.revision()).toBe(before);
    });

    it('refuses a source that is not in order, or has a key twice', async () => {
      const disordered = { ...sourceOf([]), records: () => sourceThenAgain([kv('/dis/b')], [kv('/dis/a')]) };
      expect((await failure(restoreLiveV3(disordered, target.cluster, {}, quietRun()))).code).toBe('damaged');
      const twice = { ...sourceOf([]), records: () => sourceThenAgain([kv('/dis/b')], [kv('/dis/b')]) };
      expect((await failure(restoreLiveV3(twice, target.cluster, {}, quietRun()))).message).toContain('"/dis/b" twice');
      const v2 = { ...sourceOf([]), info: { ...sourceOf([]).info, api: 'v2', order: 'tree' } as const };
      expect((await failure(restoreLiveV3(v2, target.cluster, {}, quietRun()))).code).toBe('usage');
    });

    it('tells how far it is: comparing, then writing up to the total', async () => {
      const seen: Progress[] = [];
      const run = { ...quietRun(), progress: (progress: Progress) => seen.push(progress) };
      await restoreLiveV3(sourceOf(many('/progress/', 1000), { batch: 250 }), target.cluster, {}, run);
      expect([...new Set(seen.map(({ phase }) => phase))]).toEqual(['comparing', 'writing']);
      expect(seen.at(-1)).toMatchObject({ records: 1000, totalRecords: 1000 });
    });

    it('keeps to a rate', async () => {
      const began = performance.now();
      await target.restore(many('/rate/', 1024), { limitRate: 40_000 });
      // 1024 records of 20 B are half a second at 40 kB/s; the first transaction goes at once.
      expect(performance.now() - began).toBeGreaterThan(350);
    });
  });

  describe(`restoreLiveV3 into etcd ${etcd.version} with limits`, () => {
    it('takes fewer operations a transaction when the server does, and says when it is out of space', async () => {
      await using small = await RestoreTarget.start(etcd, ['--max-txn-ops=20', ...strictQuota(20_000_000)]);
      expect(await small.restore(many('/few/', 300))).toMatchObject({ written: 300 });
      // Reading back is bounded by the same limit.
      expect(await small.restore([kv('/few/0', 'value 0'), kv('/few/99', 'value 99')])).toMatchObject({ equal: 2 });
      const tooMuch = Array.from({ length: 40 }, (_, i) => kv(`/space/${i}`, Buffer.alloc(1_000_000, i)));
      const error = await failure(small.restore(tooMuch));
      expect(error.code).toBe('no-space');
      expect(error).toBeInstanceOf(FerryError);
    });
  });
}

async function* sourceThenAgain(...parts: KeyValue[][]): AsyncGenerator<RecordBatch> {
  for (const part of parts) yield* sourceOf(part).records();
}
