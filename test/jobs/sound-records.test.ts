import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RecordChecker } from '../../src/jobs/check-records.js';
import { soundRecords } from '../../src/jobs/sound-records.js';
import { batchOf, type RecordBatch } from '../../src/model/batch.js';
import type { RecordOrder, SourceInfo, SourceKind } from '../../src/model/source.js';
import { compareTreePaths } from '../../src/model/tree-path.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { encodeNode } from '../../src/wire/node.js';
import { encodeRevisionKey } from '../../src/wire/revision-key.js';
import { failure } from '../support/cluster.js';
import { kv, sourceOf } from '../support/source.js';

const REVISION = 9n;

async function takeAll(records: readonly Buffer[], info: Partial<SourceInfo>, size = 1): Promise<number> {
  const made = sourceOf([]);
  // One buffer for all batches, as a source may fill its own again.
  const memory = Buffer.alloc(1 << 12);
  const batches = async function* (): AsyncGenerator<RecordBatch> {
    for (let at = 0; at < records.length; at += size) {
      const { bytes, ...rest } = batchOf(records.slice(at, at + size));
      memory.fill(0);
      bytes.copy(memory);
      yield { bytes: memory, ...rest };
    }
  };
  const source = soundRecords({ ...made, info: { ...made.info, revision: REVISION, ...info }, records: batches });
  let count = 0;
  for await (const batch of source.records()) count += batch.count;
  return count;
}

/** Numbers around those that can be, and those that do not fit a JavaScript number. */
const number = fc.oneof(
  { weight: 8, arbitrary: fc.bigInt({ min: 1n, max: 9n }) },
  fc.constantFrom(-1n, 0n, 10n, 2n ** 49n - 1n, 2n ** 49n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)),
);
const revision = fc.constantFrom(REVISION, 2n ** 49n, 2n ** 60n);
const pair = { createRevision: number, modRevision: number, version: number };
const keyRecord = fc.record(pair).map((numbers) => encodeKeyValue({ ...kv('k', 'v'), ...numbers }));
const changeRecord = fc
  .record({ ...pair, main: fc.bigInt({ min: 1n, max: 10n }), same: fc.boolean(), deleted: fc.boolean(), bare: fc.boolean() })
  .map(({ main, same, deleted, bare, ...numbers }) => {
    const change = { ...kv('k', 'v'), ...numbers, ...(same ? { modRevision: main } : {}) };
    const none = { value: Buffer.alloc(0), createRevision: 0n, modRevision: 0n, version: 0n };
    return Buffer.concat([
      encodeRevisionKey({ main, sub: 0n }, deleted),
      encodeKeyValue(deleted && bare ? { ...change, ...none } : change),
    ]);
  });
const unsigned = number.map((n) => BigInt.asUintN(64, n));
const tree = fc
  .uniqueArray(
    fc.record({
      path: fc.array(fc.constantFrom('a', 'a-b', 'b'), { minLength: 1, maxLength: 3 }).map((parts) => Buffer.from(`/${parts.join('/')}`)),
      dir: fc.boolean(),
      value: fc.constantFrom('', '', 'v').map((value) => Buffer.from(value)),
      createdIndex: fc.oneof({ weight: 5, arbitrary: fc.constant(1n) }, unsigned),
      modifiedIndex: fc.oneof({ weight: 5, arbitrary: fc.constant(3n) }, unsigned),
    }),
    { selector: ({ path }) => path.toString(), maxLength: 5 },
  )
  .map((nodes) => nodes.sort((a, b) => compareTreePaths(a.path, b.path)).map((node) => encodeNode({ ...node, expiration: 0n })));

const RECORDS: readonly (readonly [RecordOrder, fc.Arbitrary<readonly Buffer[]>])[] = [
  ['key', fc.array(keyRecord, { minLength: 1, maxLength: 3 })],
  ['revision', fc.array(changeRecord, { minLength: 1, maxLength: 3 })],
  ['tree', tree],
];

test.each(RECORDS)('records in order of %s are refused exactly where verify calls them damaged', async (order, records) => {
  const api = order === 'tree' ? 'v2' : 'v3';
  const kinds = fc.constantFrom<SourceKind>('live', 'archive', 'snapshot-file', 'data-dir');
  await fc.assert(
    fc.asyncProperty(records, revision, kinds, fc.integer({ min: 1, max: 3 }), async (some, newest, kind, size) => {
      const checker = new RecordChecker({ api, order, revision: newest });
      await checker.add(batchOf(some));
      const damaged = await failure((async () => checker.finish('x'))()).catch(() => undefined);
      const refused = await failure(takeAll(some, { kind, api, order, revision: newest }, size)).catch(() => undefined);
      expect(refused?.message === undefined).toBe(damaged === undefined);
      if (refused !== undefined) expect(damaged?.message).toContain(refused.message.replace('made by hand: ', ''));
      if (refused !== undefined) expect(refused.code).toBe(kind === 'live' ? 'failed' : 'damaged');
    }),
    { numRuns: 1000 },
  );
});

describe('what is refused', () => {
  test.each<[string, Parameters<typeof kv>[0], object, string]>([
    ['a revision after that of the source', 'k', { modRevision: 10n }, '"k" was modified at 10, after the revision 9 of its source'],
    ['a creation after the change', 'k', { createRevision: 8n, modRevision: 7n }, '"k" was created at 8 and modified at 7, before'],
    ['negative revisions', 'k', { createRevision: -5n, modRevision: -4n }, '"k" has the create revision -5'],
    ['no version', 'k', { version: 0n }, '"k" has the version 0'],
    ['no key', '', {}, '"" has no key'],
  ])('%s, naming key and location', async (_, key, change, said) => {
    const record = encodeKeyValue({ ...kv(key, 'v'), ...change });
    const refused = await failure(takeAll([encodeKeyValue(kv('a')), record], { kind: 'live', location: 'http://h:2379' }));
    expect(refused).toMatchObject({ code: 'failed', message: `http://h:2379: ${said}` });
    expect((await failure(takeAll([record], { kind: 'snapshot-file' }))).code).toBe('damaged');
  });

  test('is nothing of what etcd writes', async () => {
    expect(await takeAll([encodeKeyValue(kv('a')), encodeKeyValue(kv('b'))], { kind: 'live' })).toBe(2);
  });
});
