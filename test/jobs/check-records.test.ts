import { describe, expect, test } from 'vitest';
import { RecordChecker, type RecordsAccount } from '../../src/jobs/check-records.js';
import { batchOf } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { Lease } from '../../src/model/lease.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { encodeNode } from '../../src/wire/node.js';
import { encodeRevisionKey } from '../../src/wire/revision-key.js';
import { lease } from '../support/source.js';
import { dir, file, type MadeNode } from '../support/tree.js';

const KV: KeyValue = { key: Buffer.from('/k'), value: Buffer.from('v'), createRevision: 5n, modRevision: 7n, version: 2n, lease: 0n };

async function checked(
  records: readonly Buffer[],
  order: 'key' | 'tree' | 'revision',
  leases: readonly Lease[] = [],
): Promise<RecordsAccount> {
  const checker = new RecordChecker({ api: order === 'tree' ? 'v2' : 'v3', order, revision: 9n });
  checker.addLeases(leases);
  await checker.add(batchOf(records));
  return checker.finish('x.tar');
}

const key = (change: Partial<KeyValue>): Promise<RecordsAccount> => checked([encodeKeyValue({ ...KV, ...change })], 'key');

function tree(...nodes: MadeNode[]): Promise<RecordsAccount> {
  const empty = { dir: false, value: Buffer.alloc(0), createdIndex: 3n, modifiedIndex: 3n, expiration: 0n };
  return checked(
    nodes.map((node) => encodeNode({ ...empty, ...node, path: Buffer.from(node.path as string) })),
    'tree',
  );
}

function change(main: bigint, kv: Partial<KeyValue>, deleted = false): Promise<RecordsAccount> {
  const none = { value: Buffer.alloc(0), createRevision: 0n, modRevision: 0n, version: 0n, lease: 0n };
  const record = encodeKeyValue(deleted ? { ...KV, ...none, ...kv } : { ...KV, ...kv });
  return checked([Buffer.concat([encodeRevisionKey({ main, sub: 0n }, deleted), record])], 'revision');
}

describe('a key', () => {
  test('as etcd writes them passes, and is counted by what its value is', async () => {
    const values = ['text', '{"kind":"Pod","apiVersion":"v1"}', '{"a":1}', '\x00\x01'];
    const records = values.map((value, i) =>
      encodeKeyValue({ ...KV, key: Buffer.from(`/${i}`), value: Buffer.from(value), lease: i === 0 ? -3n : 0n }),
    );
    const { kinds, ...rest } = await checked(records, 'key', [lease(-3n, 60n), lease(1n << 62n, 60n)]);
    expect(rest).toEqual({ records: 4, opened: 0, locked: 0, notes: [] });
    expect(kinds.map(({ kind, apiVersion, records: count }) => [kind, apiVersion, count])).toEqual([
      ['Pod', 'v1', 1],
      ['binary', '', 1],
      ['json', '', 1],
      ['text', '', 1],
    ]);
  });

  test.each([
    ['without a name', { key: Buffer.alloc(0) }, '"" has no key'],
    ['modified before it was created', { modRevision: 4n }, '"/k" was created at 5 and modified at 4, before'],
    ['newer than its source', { modRevision: 10n }, '"/k" was modified at 10, after the revision 9 of its source'],
    ['never created', { createRevision: 0n }, '"/k" has the create revision 0'],
    ['of version 0', { version: 0n }, '"/k" has the version 0'],
    ['cut short by its writer', { value: Buffer.from('6b3873000aff', 'hex') }, '"/k" has a value that does not decode: '],
  ])('%s is damage', async (_, wrong: Partial<KeyValue>, says) => {
    await expect(key(wrong)).rejects.toMatchObject({ code: 'damaged', message: expect.stringContaining(`x.tar: ${says}`) });
  });

  test('with a lease that the source does not tell of is no damage, and is named as a loss', async () => {
    const { notes } = await checked([encodeKeyValue({ ...KV, lease: 255n })], 'key', [lease(1n, 60n)]);
    expect(notes).toMatchObject([{ code: 'lease-unknown', count: 1, lossy: true, examples: ['"/k"'] }]);
  });

  test('the first five problems are named, the others counted', async () => {
    const records = Array.from({ length: 8 }, (_, i) => encodeKeyValue({ ...KV, key: Buffer.from(`/${i}`), version: 0n }));
    await expect(checked(records, 'key')).rejects.toMatchObject({
      message: expect.stringMatching(/^x\.tar: "\/0" .*"\/4" has the version 0 and 3 more$/),
    });
  });
});

describe('a node', () => {
  test('in a tree passes, with its parents or without those that were not chosen', async () => {
    const { kinds } = await tree(dir('/a'), dir('/a/b'), file('/a/b/c'), file('/a/d'), dir('/ab'), file('/x/y'));
    expect(kinds.map(({ kind, records }) => [kind, records])).toEqual([
      ['directory', 3],
      ['text', 3],
    ]);
  });

  test.each([
    ['below a value', [file('/a'), file('/a/b')], '"/a/b" is below "/a", which is no directory'],
    ['that is a directory with a value', [{ ...dir('/a'), value: Buffer.from('v') }], '"/a" is a directory and has a value'],
    ['newer than its source', [{ ...file('/a'), modifiedIndex: 10n }], '"/a" was modified at 10, after the index 9 of its source'],
  ])('%s is damage', async (_, nodes: MadeNode[], says) => {
    await expect(tree(...nodes)).rejects.toMatchObject({ code: 'damaged', message: `x.tar: ${says}` });
  });
});

describe('a change of a history', () => {
  test('and a deletion pass', async () => {
    expect((await change(7n, {})).kinds).toMatchObject([{ kind: 'text' }]);
    expect((await change(7n, {}, true)).kinds).toMatchObject([{ kind: 'deletion' }]);
  });

  test.each([
    ['of another revision than its value', () => change(8n, {}), 'has the mod revision 7 in the change of 8'],
    ['newer than its source', () => change(10n, { modRevision: 10n }), 'was changed at 10, after the revision 9 of its source'],
    ['that deletes and leaves a value', () => change(7n, { value: Buffer.from('v') }, true), 'was deleted, and has a value or a lease'],
  ])('%s is damage', async (_, result, says) => {
    await expect(result()).rejects.toMatchObject({ code: 'damaged', message: `x.tar: "/k" ${says}` });
  });
});
