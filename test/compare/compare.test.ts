import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CompareOptions, compareSources, type Difference } from '../../src/compare/compare.js';
import { FerryError } from '../../src/errors.js';
import { batchOf, type RecordBatch } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { TreeNode } from '../../src/model/node.js';
import { compareTreePaths } from '../../src/model/tree-path.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { encodeNode } from '../../src/wire/node.js';
import { bytes } from '../support/arbitrary.js';
import { kv } from '../support/source.js';

/** Few different keys and contents, so that both sides have many in common. */
const key = bytes({ maxLength: 4, max: 3 });
const small = fc.bigInt({ min: 0n, max: 2n });
const record: fc.Arbitrary<KeyValue> = fc.record({
  key,
  value: bytes({ maxLength: 2, max: 1 }),
  createRevision: small,
  modRevision: small,
  version: small,
  lease: small,
});
const path = fc.stringMatching(/^(\/[a!]{1,2}){1,3}$/).map((text) => Buffer.from(text));
const node: fc.Arbitrary<TreeNode> = fc.record({
  path,
  dir: fc.boolean(),
  value: bytes({ maxLength: 1, max: 1 }),
  createdIndex: small,
  modifiedIndex: small,
  expiration: small,
});
const cuts = fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 6 }).filter((sizes) => sizes.some((size) => size > 0));

/** The encoded records in batches of the sizes given, round and round; some are empty. */
async function* batches(records: readonly Buffer[], sizes: readonly number[] = [1000]): AsyncGenerator<RecordBatch> {
  for (let at = 0, turn = 0; at < records.length; turn++) {
    const size = sizes[turn % sizes.length] as number;
    yield batchOf(records.slice(at, at + size));
    at += size;
  }
}

async function differences(left: AsyncIterable<RecordBatch>, right: AsyncIterable<RecordBatch>, options: CompareOptions) {
  const comparison = compareSources(left, right, options);
  const found: Difference[] = [];
  for await (const difference of comparison) found.push(difference);
  return { found, counts: comparison.counts };
}

/** A difference as text: kind, key and parts. */
function told(difference: Difference): string {
  return `${difference.kind} ${difference.key.toString('hex')}${difference.kind === 'changed' ? ` ${difference.parts.join(',')}` : ''}`;
}

interface Comparable {
  readonly key: Buffer;
  readonly fields: Readonly<Record<string, string>>;
}

/** What the merge must find, the simple way: all keys of both sides in a sorted list. */
function expected(left: readonly Comparable[], right: readonly Comparable[], order: (a: Buffer, b: Buffer) => number) {
  const sides = [left, right].map((side) => new Map(side.map((one) => [one.key.toString('hex'), one])));
  const keys = [...new Set([...left, ...right].map((one) => one.key.toString('hex')))];
  keys.sort((a, b) => order(Buffer.from(a, 'hex'), Buffer.from(b, 'hex')));
  return keys.flatMap((hex) => {
    const [a, b] = sides.map((side) => side.get(hex));
    if (a === undefined) return [`added ${hex}`];
    if (b === undefined) return [`removed ${hex}`];
    const parts = Object.keys(a.fields).filter((name) => a.fields[name] !== b.fields[name]);
    return parts.length === 0 ? [] : [`changed ${hex} ${parts.join(',')}`];
  });
}

describe('compareSources', () => {
  it('finds what a sorted list of all v3 keys would, however the batches are cut', async () => {
    const side = fc.uniqueArray(record, { selector: (one) => one.key.toString('hex'), maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(side, side, cuts, cuts, fc.boolean(), fc.boolean(), async (a, b, aCuts, bCuts, revisions, leases) => {
        const [left, right] = [a, b].map((one) => [...one].sort((x, y) => Buffer.compare(x.key, y.key))) as [KeyValue[], KeyValue[]];
        const comparable = (one: KeyValue): Comparable => ({
          key: one.key,
          fields: {
            value: one.value.toString('hex'),
            ...(revisions ? { create: `${one.createRevision}`, mod: `${one.modRevision}`, version: `${one.version}` } : {}),
            ...(leases ? { lease: `${one.lease}` } : {}),
          },
        });
        const { found, counts } = await differences(batches(left.map(encodeKeyValue), aCuts), batches(right.map(encodeKeyValue), bCuts), {
          api: 'v3',
          revisions,
          leases,
        });
        expect(found.map(told)).toEqual(expected(left.map(comparable), right.map(comparable), Buffer.compare));
        expect(counts.equal + counts.changed + counts.removed).toBe(left.length);
        expect(counts.equal + counts.changed + counts.added).toBe(right.length);
      }),
      { numRuns: 300 },
    );
  });

  it('finds what a sorted list of all v2 nodes would, in tree order', async () => {
    const side = fc.uniqueArray(node, { selector: (one) => one.path.toString(), maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(side, side, cuts, fc.boolean(), fc.boolean(), async (a, b, sizes, revisions, leases) => {
        const [left, right] = [a, b].map((one) => [...one].sort((x, y) => compareTreePaths(x.path, y.path))) as [TreeNode[], TreeNode[]];
        const comparable = (one: TreeNode): Comparable => ({
          key: one.path,
          fields: {
            dir: `${one.dir}`,
            value: one.value.toString('hex'),
            ...(revisions ? { create: `${one.createdIndex}`, mod: `${one.modifiedIndex}` } : {}),
            ...(leases ? { lease: `${one.expiration > 0n}` } : {}),
          },
        });
        const { found } = await differences(batches(left.map(encodeNode), sizes), batches(right.map(encodeNode)), {
          api: 'v2',
          revisions,
          leases,
        });
        expect(found.map(told)).toEqual(expected(left.map(comparable), right.map(comparable), compareTreePaths));
      }),
      { numRuns: 300 },
    );
  });

  it('hands out both records, as their sources gave them', async () => {
    const [old, now] = [encodeKeyValue(kv('/a', 'old')), encodeKeyValue(kv('/a', 'new'))];
    const { found } = await differences(batches([old]), batches([now, encodeKeyValue(kv('/b'))]), { api: 'v3' });
    expect(found).toMatchObject([
      { kind: 'changed', left: old, right: now, parts: ['value'] },
      { kind: 'added', key: Buffer.from('/b') },
    ]);
  });

  it('knows equal content in records that are written differently', async () => {
    const plain = encodeKeyValue(kv('/a', 'value'));
    // The same message with an unknown field first, the value before the key, and a value that a later one replaces.
    const odd = Buffer.concat([
      Buffer.from('7a017a', 'hex'),
      Buffer.from('2a0178', 'hex'),
      Buffer.from('2a0576616c7565', 'hex'),
      Buffer.from('0a022f61', 'hex'),
    ]);
    expect((await differences(batches([plain]), batches([odd]), { api: 'v3' })).counts).toEqual({
      equal: 1,
      added: 0,
      removed: 0,
      changed: 0,
    });
  });

  it('refuses a side that is not in order, and names it', async () => {
    const [a, b] = [encodeKeyValue(kv('/a')), encodeKeyValue(kv('/b'))];
    const options: CompareOptions = { api: 'v3', names: ['one.tar', 'two.tar'] };
    await expect(differences(batches([a, b]), batches([b, a], [1]), options)).rejects.toMatchObject({
      code: 'damaged',
      message: 'two.tar: a key does not come after the one before it',
    });
    await expect(differences(batches([a, a]), batches([a]), options)).rejects.toMatchObject({ code: 'damaged' });
  });

  it('refuses what is no record with its own error, whatever the bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(bytes({ maxLength: 30 }), { maxLength: 4 }), fc.constantFrom('v2', 'v3'), async (records, api) => {
        const good = api === 'v3' ? encodeKeyValue(kv('/a', 'b')) : Buffer.from('0a022f61', 'hex');
        await differences(batches(records), batches([good]), { api, revisions: true, leases: true }).catch((thrown: unknown) => {
          expect(thrown).toBeInstanceOf(FerryError);
        });
      }),
    );
  });

  it('lets both sides go when its consumer stops, and when a side fails', async () => {
    const open = new Set<string>();
    async function* endless(name: string, value: string): AsyncGenerator<RecordBatch> {
      open.add(name);
      try {
        for (let i = 100; ; i++) yield batchOf([encodeKeyValue(kv(`/${i}`, value))]);
      } finally {
        open.delete(name);
      }
    }
    async function* failing(): AsyncGenerator<RecordBatch> {
      yield batchOf([encodeKeyValue(kv('/100'))]);
      throw new FerryError('unreachable', 'gone');
    }
    for await (const difference of compareSources(endless('a', '1'), endless('b', '2'), { api: 'v3' })) {
      expect(open).toEqual(new Set(['a', 'b']));
      if (difference.key.toString() === '/150') break;
    }
    expect(open.size).toBe(0);
    await expect(differences(endless('a', ''), failing(), { api: 'v3' })).rejects.toMatchObject({ code: 'unreachable' });
    expect(open.size).toBe(0);
  });
});
