import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseKeyMapping, SAME_KEYS } from '../../src/convert/key-mapping.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { EVERYTHING, type KeySelection } from '../../src/model/source.js';
import { KeySet } from '../../src/selection/key-set.js';
import { isSelected } from '../../src/selection/select.js';
import { extrasScope } from '../../src/writers/live-v3-extras.js';
import { failure } from '../support/cluster.js';
import { etcdVersions } from '../support/etcd.js';
import { RestoreTarget } from '../support/restore.js';
import { kv } from '../support/source.js';

const many = (prefix: string, count: number): KeyValue[] => Array.from({ length: count }, (_, i) => kv(`${prefix}${i}`, `value ${i}`));
const under = (...prefixes: string[]): KeySelection => ({ prefixes: prefixes.map((p) => Buffer.from(p)), excludePrefixes: [] });
const deleteExtra = 'prefixes';

for (const etcd of etcdVersions()) {
  describe(`keys the source does not have, in etcd ${etcd.version}`, () => {
    let target: RestoreTarget;
    beforeAll(async () => {
      target = await RestoreTarget.start(etcd);
    });
    afterAll(() => target[Symbol.asyncDispose]());

    it('are removed under the prefix, wherever they lie, and nowhere else', async () => {
      await target.restore([...many('/in/a', 300), ...many('/in/c', 300), ...many('/in/z', 10), kv('/im'), kv('/io')]);
      const records = [...many('/in/b', 250), kv('/in/a7', 'value 7'), kv('/in/c0', 'value 0')];
      const report = await target.restore(records, { selection: under('/in/'), deleteExtra }, { batch: 60 });
      expect(report).toMatchObject({ written: 250, equal: 2, deleted: 608 });
      expect(Object.keys(await target.texts('/in/'))).toEqual(records.map(({ key }) => key.toString()).sort());
      expect(await target.dump('/im')).toHaveLength(1);
      expect(await target.dump('/io')).toHaveLength(1);
      const before = await target.revision();
      expect(await target.restore(records, { selection: under('/in/'), deleteExtra })).toMatchObject({ deleted: 0, written: 0 });
      expect(await target.revision()).toBe(before);
    });

    it('are not looked for when the source has chosen objects only', async () => {
      await target.restore([kv('/objects/secret'), kv('/objects/pod')]);
      const objects = [{ kinds: ['Secret'], excludeKinds: [], namespaces: [], names: [], etcdPrefixes: [] }];
      const options = { selection: under('/objects/'), deleteExtra } as const;
      const error = await failure(target.restore([kv('/objects/secret')], options, { objects }));
      expect([error.code, error.message]).toEqual(['usage', expect.stringMatching(/all others would be deleted/)]);
      expect(await target.dump('/objects/')).toHaveLength(2);
    });

    it('are only listed in a dry run', async () => {
      await target.restore(many('/dry/', 30));
      const before = await target.revision();
      const listed: string[] = [];
      const onExtra = (key: Buffer): void => void listed.push(key.toString());
      const options = { selection: under('/dry/'), deleteExtra, onExtra } as const;
      expect(await target.restore([kv('/dry/7', 'value 7')], { ...options, dryRun: true })).toMatchObject({
        deleted: 29,
        revision: before,
      });
      expect(listed).toHaveLength(29);
      expect(listed).not.toContain('/dry/7');
      expect(await target.revision()).toBe(before);
    });

    it('are looked for where the mapping puts the prefix', async () => {
      await target.restore([kv('/map/a/old'), kv('/map/b/old'), kv('/map/b/new', 'v')]);
      const mapping = parseKeyMapping({ map: ['/map/a/=/map/b/'] });
      expect(await target.restore([kv('/map/a/new', 'v')], { selection: under('/map/a/'), mapping, deleteExtra })).toMatchObject({
        deleted: 1,
      });
      expect(Object.keys(await target.texts('/map/'))).toEqual(['/map/a/old', '/map/b/new']);
    });

    it('are all removed when the source is empty', async () => {
      await target.restore(many('/all/', 300));
      expect(await target.restore([], { selection: under('/all/'), deleteExtra })).toMatchObject({ deleted: 300 });
      expect(await target.dump('/all/')).toEqual([]);
    });

    it('stay where the source or the user left them out', async () => {
      await target.restore([kv('/spare/a/x'), kv('/spare/b/x'), kv('/spare/c/x')]);
      const selection = { ...under('/spare/'), excludePrefixes: [Buffer.from('/spare/b/')] };
      await target.restore([], { selection, deleteExtra }, { selection: under('/spare/a/', '/spare/b/') });
      expect(Object.keys(await target.texts('/spare/'))).toEqual(['/spare/b/x', '/spare/c/x']);
    });

    it('stay when they changed after they were seen', async () => {
      await target.restore(many('/late/', 10));
      let done = false;
      const through = target.watched(async (request, method, pass) => {
        if (!done && method === 'KV/Txn' && Buffer.from(request).includes('/late/3')) {
          done = true;
          await target.put('/late/3', 'changed');
        }
        return pass();
      });
      const report = await target.restore([], { through, selection: under('/late/'), deleteExtra });
      expect(report).toMatchObject({ deleted: 9, notes: [{ code: 'extra-changed', count: 1 }] });
      expect(await target.texts('/late/')).toEqual({ '/late/3': 'changed' });
    });

    it('are not removed without a prefix, unless everything is asked for', async () => {
      await target.put('/keep', '');
      expect((await failure(target.restore([], { deleteExtra }))).code).toBe('usage');
      expect((await failure(target.restore([], { deleteExtra, mapping: parseKeyMapping({ map: ['/a/=/b/'] }) }))).code).toBe('usage');
      expect(await target.dump('/keep')).toHaveLength(1);
      await target.restore([kv('/only')], { deleteExtra: 'everything' });
      expect((await target.dump('/')).map(({ key }) => key.toString())).toEqual(['/only']);
    });
  });
}

describe('extrasScope', () => {
  const EVERY = keysOf('ab', 4);
  const prefix = fc.stringMatching(/^[ab]{1,3}$/);
  const selection = fc
    .tuple(fc.array(prefix, { minLength: 1, maxLength: 3 }), fc.array(prefix, { maxLength: 2 }))
    .map(([prefixes, excluded]) => ({ ...under(...prefixes), excludePrefixes: excluded.map((p) => Buffer.from(p)) }));
  const rules = fc.uniqueArray(fc.record({ from: prefix, to: fc.stringMatching(/^[ab]{0,2}$/) }), {
    maxLength: 2,
    selector: ({ from }) => from,
  });

  it('is bounded by an added prefix alone', () => {
    const scope = extrasScope('prefixes', EVERYTHING, EVERYTHING, parseKeyMapping({ addPrefix: '/n/' }));
    expect(scope.prefixes().map(String)).toEqual(['/n/']);
  });

  it('refuses what the source was not taken with, whatever else is asked for', () => {
    for (const how of ['prefixes', 'everything'] as const) {
      expect(() => extrasScope(how, under('/a/'), under('/b/'), SAME_KEYS)).toThrow(/not taken with any key that was chosen/);
      expect(() => extrasScope(how, EVERYTHING, KeySet.nothing.selection(), SAME_KEYS)).toThrow(/not taken with any key/);
    }
  });

  it('holds just the names that keys get which the request chose and the source was taken with', () => {
    fc.assert(
      fc.property(selection, selection, rules, (chosen, own, list) => {
        const mapping = parseKeyMapping({ map: list.map(({ from, to }) => `${from}=${to}`), addPrefix: 'n' });
        const known = EVERY.filter((key) => isSelected(key, chosen) && isSelected(key, own));
        const names = new Set(known.map((key) => mapping.mapKey(key).toString()));
        const scope = known.length === 0 ? KeySet.nothing : extrasScope('prefixes', chosen, own, mapping);
        for (const name of keysOf('ab', 1).map((key) => Buffer.concat([Buffer.from('n'), key]))) {
          expect([name.toString(), scope.has(name)]).toEqual([name.toString(), names.has(name.toString())]);
        }
        expect(EVERY.some((key) => !key.toString().startsWith('n') && scope.has(key))).toBe(false);
      }),
    );
  });
});

/** Every sequence of up to so many of these letters, but the empty one. */
function keysOf(letters: string, length: number): Buffer[] {
  const shorter = length === 1 ? [Buffer.alloc(0)] : [Buffer.alloc(0), ...keysOf(letters, length - 1)];
  const all = shorter.flatMap((key) => [...letters].map((letter) => key.toString() + letter));
  return [...new Set(all)].map((key) => Buffer.from(key));
}
