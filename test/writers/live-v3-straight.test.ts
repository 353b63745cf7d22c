import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import { replaceValues } from '../../src/jobs/replace-values.js';
import { batchOf } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { quietRun } from '../../src/model/run.js';
import type { Source } from '../../src/model/source.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { type RestoreV3Options, type RestoreV3Report, restoreLiveV3 } from '../../src/writers/live-v3.js';
import { failure } from '../support/cluster.js';
import { etcdVersions } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv, sourceOf } from '../support/source.js';

const many = (prefix: string, count = 300): KeyValue[] => Array.from({ length: count }, (_, i) => kv(`${prefix}${i}`, `value ${i}`));
const under = (prefix: string) => ({ prefixes: [Buffer.from(prefix)], excludePrefixes: [] });

/** Records of which all were proven, as those of an archive. */
function proven(records: readonly KeyValue[], largestRecord = 1000): Source {
  const source = sourceOf(records, { selection: under(records[0]?.key.toString().replace(/[^/]*$/, '') ?? '') });
  return { ...source, info: { ...source.info, largestRecord } };
}

for (const etcd of etcdVersions()) {
  describe(`proven records into etcd ${etcd.version}`, () => {
    let target: RestoreTarget;
    beforeAll(async () => {
      target = await RestoreTarget.start(etcd);
    });
    afterAll(() => target[Symbol.asyncDispose]());

    /** Writes a source, and says how often it was read and what was asked of the target before the first put. */
    async function write(source: Source, options: RestoreV3Options = {}): Promise<RestoreV3Report & { reads: number; before: string[] }> {
      let reads = 0;
      const before: string[] = [];
      let begun = false;
      const through = target.watched((request, method, pass) => {
        begun ||= Buffer.from(request).includes('value ');
        if (!begun) before.push(method);
        return pass();
      });
      const counted: Source = {
        ...source,
        records: () => {
          reads++;
          return source.records();
        },
      };
      const report = await restoreLiveV3(counted, through, options, quietRun());
      return { ...report, reads, before };
    }

    it('are read once where the target holds nothing, and compared first where it does', async () => {
      expect(await write(proven(many('/a/')))).toMatchObject({ records: 300, written: 300, equal: 0, reads: 1, before: ['KV/Range'] });
      expect(Object.keys(await target.texts('/a/'))).toHaveLength(300);
      expect(await write(proven(many('/a/')))).toMatchObject({ written: 0, equal: 300, reads: 1 });
      await target.put('/b/zzz', 'another');
      expect(await write(proven(many('/b/')))).toMatchObject({ written: 300, reads: 2 });
    });

    it('keep to the names they get: an empty range is looked for there', async () => {
      await target.put('/new/c/x', 'there');
      const mapping = parseKeyMapping({ addPrefix: '/new' });
      expect(await write(proven(many('/c/')), { mapping })).toMatchObject({ written: 300, reads: 2 });
      expect(await write(proven(many('/d/')), { mapping })).toMatchObject({ written: 300, reads: 1 });
      expect(await write(proven(many('/e/')), { mapping: parseKeyMapping({ map: ['/e/=/f/'] }) })).toMatchObject({
        written: 300,
        reads: 2,
      });
    });

    it('a key that appears meanwhile is in the way, and stays', async () => {
      let done = false;
      const through = target.watched(async (request, _, pass) => {
        if (!done && Buffer.from(request).includes('/g/42')) {
          done = true;
          await target.put('/g/42', 'mine');
        }
        return pass();
      });
      const error = await failure(restoreLiveV3(proven(many('/g/')), through, {}, quietRun()));
      expect(error).toMatchObject({ code: 'in-the-way', message: expect.stringContaining('"/g/42" appeared') });
      expect((await target.texts('/g/'))['/g/42']).toBe('mine');
    });

    it('are compared first when one may be too large, when values are replaced, and in a dry run', async () => {
      const large = [...many('/h/'), kv('/h/large', Buffer.alloc(3 << 20))];
      expect(await failure(write(proven(large, 3 << 20)))).toMatchObject({
        code: 'failed',
        message: expect.stringContaining('"/h/large"'),
      });
      expect(await target.texts('/h/')).toEqual({});
      expect(await write(replaceValues(proven(many('/i/')), () => undefined))).toMatchObject({ written: 300, reads: 2 });
      expect(await write(proven(many('/j/')), { dryRun: true })).toMatchObject({ written: 300, dryRun: true, transactions: 0 });
      expect(await target.texts('/j/')).toEqual({});
      expect(await write(sourceOf(many('/k/')))).toMatchObject({ written: 300, reads: 2 });
    });

    it('that are not in order after all are told of as damage', async () => {
      const source = proven(many('/l/'));
      const backwards: Source = {
        ...source,
        records: async function* () {
          for (const record of many('/l/', 3).reverse()) yield batchOf([encodeKeyValue(record)]);
        },
      };
      expect(await failure(write(backwards))).toMatchObject({ code: 'damaged' });
    });
  });
}
