import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openArchive } from '../../src/archive/open.js';
import { packArchive } from '../../src/archive/pack.js';
import { proveArchive } from '../../src/archive/prove.js';
import { recordAt } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { quietRun } from '../../src/model/run.js';
import { decodeKeyValue, encodeKeyValue } from '../../src/wire/keyvalue.js';
import { encodeNode } from '../../src/wire/node.js';
import { varintLength, writeVarint } from '../../src/wire/varint.js';
import { keyValue } from '../support/arbitrary.js';
import { cutInto, kv, memoryRecords, memorySink, memorySource } from './memory.js';
import { AUTH, entriesOf, LEASES, packed } from './samples.js';

/** Records with ascending keys, encoded. */
const sorted = fc
  .uniqueArray(keyValue, { selector: (kv) => kv.key.toString('hex'), maxLength: 40 })
  .map((kvs) => kvs.sort((a, b) => Buffer.compare(a.key, b.key)).map(encodeKeyValue));

async function recordsOf(bytes: Buffer): Promise<Buffer[]> {
  const found: Buffer[] = [];
  const reader = await openArchive(memorySource(bytes));
  for await (const batch of reader.records()) for (let i = 0; i < batch.count; i++) found.push(recordAt(batch, i));
  return found;
}

function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(varintLength(bytes.length));
  writeVarint(length, 0, bytes.length);
  return Buffer.concat([length, bytes]);
}

/** The digests as docs/archive-format.md defines them, without any haste. */
function digestsBySpec(records: readonly Buffer[]): { records: string; values: string } {
  const over = (parts: Buffer[]): string => {
    const runs: Buffer[] = [];
    for (let i = 0; i < parts.length; i += 4096) {
      runs.push(
        createHash('sha256')
          .update(Buffer.concat(parts.slice(i, i + 4096)))
          .digest(),
      );
    }
    return createHash('sha256').update(Buffer.concat(runs)).digest('hex');
  };
  const keyAndValue = (kv: KeyValue): Buffer => Buffer.concat([framed(kv.key), framed(kv.value)]);
  return { records: over(records.map(framed)), values: over(records.map((record) => keyAndValue(decodeKeyValue(record)))) };
}

describe('what was packed', () => {
  test('is read back, proven, and has the digests of the specification, however it was cut into batches', async () => {
    await fc.assert(
      fc.asyncProperty(sorted, fc.integer({ min: 1, max: 50 }), async (records, size) => {
        const { account, bytes } = await packed({ batches: cutInto(records, size) });
        expect(await recordsOf(bytes)).toEqual(records);
        expect(await proveArchive(memorySource(bytes), quietRun())).toEqual(account);
        expect(account.digests).toEqual(digestsBySpec(records));
        expect(account.records).toBe(records.length);
        expect(account.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
      }),
      { numRuns: 60 },
    );
  });

  test('fills several segments and digest runs: the same bytes from any batches', async () => {
    const records = Array.from({ length: 20_000 }, (_, i) => kv(`/registry/pods/${String(i).padStart(7, '0')}`, `value ${i} `.repeat(100)));
    const one = await packed({ batches: cutInto(records, 20_000) });
    const many = await packed({ batches: cutInto(records, 77) });
    expect(many.bytes.equals(one.bytes)).toBe(true);
    expect(one.account.manifest.segments.length).toBeGreaterThan(1);
    expect(one.account.digests).toEqual(digestsBySpec(records));
    for (const segment of one.account.manifest.segments) expect(segment.rawSize).toBeLessThanOrEqual(8 * 1024 * 1024);
    // One comparison: vitest looks into every byte of a Buffer by itself.
    expect(Buffer.concat((await recordsOf(one.bytes)).map(framed)).equals(Buffer.concat(records.map(framed)))).toBe(true);
    expect(await proveArchive(memorySource(one.bytes), quietRun())).toEqual(one.account);
  });

  test('a record of 40 MB has a segment of its own', async () => {
    const large = Buffer.alloc(40_000_000, 'large ');
    const records = [kv('a', '1'), kv('b', large), kv('c', ''), kv('d', '4')];
    const { account, bytes } = await packed({ batches: cutInto(records, 1) });
    expect(account.manifest.segments.map((segment) => segment.records)).toEqual([1, 1, 2]);
    expect((await recordsOf(bytes)).map((record) => record.equals(records.shift() as Buffer))).toEqual([true, true, true, true]);
    expect(await proveArchive(memorySource(bytes), quietRun())).toEqual(account);
  });

  test.each([
    [0, []],
    [1, ['a']],
  ] as const)('%i records are an archive too', async (count, keys) => {
    const { account, bytes } = await packed({
      batches: cutInto(
        keys.map((key) => kv(key, '')),
        10,
      ),
    });
    expect(account).toMatchObject({ records: count, leases: 0 });
    expect(await proveArchive(memorySource(bytes), quietRun())).toEqual(account);
    expect((await recordsOf(bytes)).length).toBe(count);
  });

  test('leases and users are there again, the header too', async () => {
    const info = {
      revision: 2n ** 60n,
      compactRevision: 7n,
      selection: { prefixes: [Buffer.from([0xff])], excludePrefixes: [Buffer.from('é')] },
    };
    const { bytes } = await packed({ info, leases: [LEASES.slice(0, 1), LEASES.slice(1)], auth: AUTH, batches: [] });
    const reader = await openArchive(memorySource(bytes));
    const leases = [];
    for await (const some of reader.leases()) leases.push(...some);
    expect(leases).toEqual(LEASES);
    expect(await reader.auth()).toEqual(AUTH);
    expect(reader.header).toMatchObject({ api: 'v3', order: 'key', toolVersion: '0.1.0', ...info });
    expect(JSON.parse(String(entriesOf(bytes)[0]?.content)).revision).toBe('1152921504606846976');
  });

  test('a v2 tree keeps tree order', async () => {
    const node = { dir: false, value: Buffer.from('x'), createdIndex: 1n, modifiedIndex: 2n, expiration: 0n };
    const paths = ['/a', '/a/b', '/a/b/c', '/a-b', '/ab'];
    const records = paths.map((path) => encodeNode({ ...node, path: Buffer.from(path) }));
    const info = { api: 'v2', order: 'tree' } as const;
    const { account, bytes } = await packed({ info, batches: cutInto(records, 2) });
    expect(await proveArchive(memorySource(bytes), quietRun())).toEqual(account);
    expect(JSON.parse(String(entriesOf(bytes)[0]?.content)).index).toBe(42);
    await expect(packed({ info, batches: cutInto(records.toReversed(), 2) })).rejects.toMatchObject({ code: 'damaged' });
  });

  test('a history goes by revision key, tombstones with theirs', async () => {
    const key = (main: number, tombstone = ''): Buffer => {
      const bytes = Buffer.alloc(17, 0);
      bytes.writeBigUInt64BE(BigInt(main));
      bytes[8] = 0x5f;
      return Buffer.concat([bytes, Buffer.from(tombstone)]);
    };
    const records = [
      Buffer.concat([key(2), kv('z', '1')]),
      Buffer.concat([key(3), kv('a', '2')]),
      Buffer.concat([key(4, 't'), kv('z', '')]),
    ];
    const { account, bytes } = await packed({ info: { order: 'revision' }, batches: cutInto(records, 2) });
    expect(account.manifest.segments[0]?.lastKey).toEqual(key(4, 't'));
    expect(await recordsOf(bytes)).toEqual(records);
    expect(await proveArchive(memorySource(bytes), quietRun())).toEqual(account);
  });
});

describe('packing stops', () => {
  test('at records that are none or out of order, and at leases out of order', async () => {
    await expect(packed({ batches: cutInto([kv('b', ''), kv('a', '')], 1) })).rejects.toMatchObject({ code: 'damaged' });
    await expect(packed({ batches: cutInto([Buffer.from([0x0a, 9, 1])], 1) })).rejects.toMatchObject({ code: 'damaged' });
    await expect(packed({ leases: [LEASES.toReversed()], batches: [] })).rejects.toMatchObject({ code: 'failed' });
  });

  test('when the run is stopped, with the reason given, and when the sink fails', async () => {
    const stop = new AbortController();
    const source = memoryRecords({ batches: cutInto([kv('a', '')], 1) });
    const options = { compress: 'gzip', toolVersion: '0' } as const;
    stop.abort(new Error('enough'));
    await expect(packArchive(source, memorySink(), options, quietRun(stop.signal))).rejects.toThrow('enough');
    const full = { ...memorySink(), write: () => Promise.reject(new Error('full')) };
    await expect(packArchive(source, full, options, quietRun())).rejects.toThrow('full');
  });
});

describe('opening', () => {
  test('takes a few small reads, and a range of keys only its segments', async () => {
    const records = Array.from({ length: 40 }, (_, i) => kv(`/k/${String(i).padStart(2, '0')}`, Buffer.alloc(1_000_000, i)));
    const { account, bytes } = await packed({ batches: cutInto(records, 7) });
    const source = memorySource(bytes);
    const reader = await openArchive(source);
    expect(source.reads.length).toBeLessThanOrEqual(3);
    expect(source.reads[0]).toEqual([bytes.length - 2048, 2048]);
    expect(account.manifest.segments.length).toBe(5);
    expect(reader.segmentsInRange(Buffer.from('/k/08'), Buffer.from('/k/09'))).toEqual([1]);
    expect(reader.segmentsInRange(Buffer.from('/k/07'), Buffer.from('/k/09'))).toEqual([0, 1]);
    expect(reader.segmentsInRange(Buffer.from('/k/31'), undefined)).toEqual([3, 4]);
    expect(reader.segmentsInRange(Buffer.from('/l'), undefined)).toEqual([]);
    expect(reader.segmentsWithPrefix([Buffer.from('/k/1'), Buffer.from('/k/39')])).toEqual([1, 2, 4]);
    expect(reader.segmentsWithPrefix([Buffer.from('/')])).toEqual([0, 1, 2, 3, 4]);
    expect(reader.segmentsWithPrefix([Buffer.from('/kk')])).toEqual([]);
    source.reads.length = 0;
    for await (const batch of reader.records([2])) expect(batch.count).toBe(8);
    expect(source.reads).toEqual([[account.manifest.segments[2]?.offset, account.manifest.segments[2]?.size]]);
  });
});
