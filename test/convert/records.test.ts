import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyMapping, parseKeyMapping, SAME_KEYS } from '../../src/convert/key-mapping.js';
import { mapRecords } from '../../src/convert/map-records.js';
import { mergePieces } from '../../src/convert/merge-pieces.js';
import { batchOf, type RecordBatch, recordAt } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { EVERYTHING, type KeySelection } from '../../src/model/source.js';
import { intersectSelections, isSelected, selectRecords } from '../../src/selection/select.js';
import { decodeKeyValue, encodeKeyValue } from '../../src/wire/keyvalue.js';
import { decodeNode, encodeNode } from '../../src/wire/node.js';
import { bytes, keyValue } from '../support/arbitrary.js';
import { failure } from '../support/cluster.js';
import { kv } from '../support/source.js';

async function* inBatches(records: readonly KeyValue[], size = 3): AsyncGenerator<RecordBatch> {
  for (let at = 0; at < records.length; at += size) yield batchOf(records.slice(at, at + size).map(encodeKeyValue));
}

async function collect(batches: AsyncIterable<RecordBatch>): Promise<KeyValue[]> {
  const records: KeyValue[] = [];
  for await (const batch of batches) for (let i = 0; i < batch.count; i++) records.push(decodeKeyValue(recordAt(batch, i)));
  return records;
}

const shortKey = fc.array(fc.constantFrom(0x61, 0x62, 0xff), { minLength: 1, maxLength: 4 }).map((array) => Buffer.from(array));
const record = fc.tuple(keyValue, shortKey).map(([rest, key]): KeyValue => ({ ...rest, key }));
const selection = fc.record({ prefixes: fc.array(shortKey, { maxLength: 3 }), excludePrefixes: fc.array(shortKey, { maxLength: 2 }) });

describe('selectRecords', () => {
  it('keeps exactly the selected records, whole and in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { maxLength: 12 }), selection, async (records, wanted) => {
        const kept = records.filter(
          ({ key }) =>
            (wanted.prefixes.length === 0 || wanted.prefixes.some((p) => key.subarray(0, p.length).equals(p))) &&
            !wanted.excludePrefixes.some((p) => key.subarray(0, p.length).equals(p)),
        );
        expect(await collect(selectRecords(inBatches(records), wanted))).toEqual(kept);
      }),
    );
  });

  it('hands on the very same iterable when everything is selected, and shares memory otherwise', async () => {
    const batches = inBatches([kv('/a'), kv('/b')]);
    expect(selectRecords(batches, EVERYTHING)).toBe(batches);
    const batch = batchOf([kv('/a'), kv('/b')].map(encodeKeyValue));
    for await (const selected of selectRecords(
      (async function* () {
        yield batch;
      })(),
      { prefixes: [Buffer.from('/b')], excludePrefixes: [] },
    )) {
      expect(selected.bytes).toBe(batch.bytes);
    }
  });

  it('intersects selections: a key is in both, or not in the intersection', () => {
    fc.assert(
      fc.property(selection, selection, shortKey, (a: KeySelection, b: KeySelection, key) => {
        const both = intersectSelections(a, b);
        expect(isSelected(key, both)).toBe(isSelected(key, a) && isSelected(key, b));
      }),
    );
  });
});

describe('mapRecords', () => {
  it('changes the key and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(record, { maxLength: 8 }), shortKey, bytes({ maxLength: 300 }), async (records, from, to) => {
        const mapping = keyMapping([{ from, to }], Buffer.alloc(0), Buffer.from('/n'));
        const wanted = records.map((r) => ({ ...r, key: mapping.mapKey(r.key) }));
        expect(await collect(mapRecords(inBatches(records), mapping))).toEqual(wanted);
      }),
    );
  });

  it('copies fields it does not know', async () => {
    const unknown = Buffer.concat([encodeKeyValue(kv('/a/k', 'v')), Buffer.from([0x7a, 2, 1, 2])]);
    const batches = (async function* () {
      yield batchOf([unknown]);
    })();
    for await (const batch of mapRecords(batches, parseKeyMapping({ addPrefix: '/n' }))) {
      expect(recordAt(batch, 0)).toEqual(Buffer.concat([encodeKeyValue(kv('/n/a/k', 'v')), Buffer.from([0x7a, 2, 1, 2])]));
    }
  });

  it('renames the path of a v2 node', async () => {
    const node = { path: Buffer.from('/a'), dir: true, value: Buffer.alloc(0), createdIndex: 3n, modifiedIndex: 4n, expiration: 5n };
    const batches = (async function* () {
      yield batchOf([encodeNode(node)]);
    })();
    for await (const batch of mapRecords(batches, parseKeyMapping({ addPrefix: '/n' }))) {
      expect(decodeNode(recordAt(batch, 0))).toEqual({ ...node, path: Buffer.from('/n/a') });
    }
  });

  it('costs nothing for the identity', () => {
    const batches = inBatches([kv('/a')]);
    expect(mapRecords(batches, SAME_KEYS)).toBe(batches);
  });

  it('refuses a message whose key is not its first field', async () => {
    const swapped = Buffer.concat([Buffer.from([0x10, 1]), encodeKeyValue({ ...kv('/a'), createRevision: 0n })]);
    const batches = (async function* () {
      yield batchOf([swapped]);
    })();
    expect((await failure(collect(mapRecords(batches, parseKeyMapping({ addPrefix: '/n' }))))).code).toBe('damaged');
  });
});

describe('mergePieces', () => {
  it('gives the renamed records in the order of their new keys, those with one key next to each other', async () => {
    const rules = fc.uniqueArray(fc.record({ from: shortKey, to: shortKey }), {
      maxLength: 3,
      selector: ({ from }) => from.toString('latin1'),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(record, { maxLength: 14, selector: ({ key }) => key.toString('latin1') }),
        rules,
        async (records, list) => {
          const mapping = keyMapping(list, Buffer.alloc(0), Buffer.from('/n'));
          const sorted = [...records].sort((a, b) => Buffer.compare(a.key, b.key));
          const merged = await collect(mergePieces(() => inBatches(sorted), mapping));
          const keys = merged.map(({ key }) => key);
          expect(keys).toEqual(records.map(({ key }) => mapping.mapKey(key)).sort(Buffer.compare));
          const text = (r: KeyValue): string => encodeKeyValue(r).toString('hex');
          expect(merged.map(text).sort()).toEqual(records.map((r) => text({ ...r, key: mapping.mapKey(r.key) })).sort());
        },
      ),
    );
  });

  it('closes every reading when the taker stops early', async () => {
    let open = 0;
    const records = async function* (): AsyncGenerator<RecordBatch> {
      open++;
      try {
        for (let i = 0; i < 100; i++) yield batchOf([encodeKeyValue({ ...kv(`/${i}`, Buffer.alloc(1 << 20)) })]);
      } finally {
        open--;
      }
    };
    for await (const _ of mergePieces(records, parseKeyMapping({ map: ['/1=/x'] }))) break;
    expect(open).toBe(0);
  });
});
