import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { BoltFile } from '../../src/wire/bbolt-file.js';
import { type BucketContent, writeBoltFile } from '../../src/wire/bbolt-writer.js';
import { bytes } from '../support/arbitrary.js';
import { memorySource, testdata } from '../support/bytes.js';

type Entry = readonly [key: Buffer, value: Buffer];

function bucket(name: string, entries: readonly Entry[], perRun = 50): BucketContent {
  return {
    name,
    entries: async function* () {
      for (let from = 0; from < entries.length; from += perRun) {
        const run = entries.slice(from, from + perRun);
        const starts: number[] = [];
        const values: number[] = [];
        const ends: number[] = [];
        let at = 0;
        for (const [key, value] of run) {
          starts.push(at);
          values.push(at + key.length);
          at += key.length + value.length;
          ends.push(at);
        }
        const memory = Buffer.concat(run.flat());
        yield { bytes: memory, starts, values, ends, count: run.length };
        // A run is valid until the next is asked for, and no longer.
        memory.fill(0xee);
      }
    },
  };
}

async function fileOf(pageSize: number, buckets: readonly BucketContent[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const size = await writeBoltFile(async (chunk) => void chunks.push(chunk), pageSize, buckets);
  const file = Buffer.concat(chunks);
  expect(file.length).toBe(size);
  return file;
}

async function entriesOf(file: Buffer, name: string): Promise<Entry[]> {
  const bolt = await BoltFile.open(memorySource(file));
  const found = (await bolt.buckets()).get(name);
  if (found === undefined) throw new Error(`no bucket ${name}`);
  const entries: Entry[] = [];
  for await (const entry of bolt.entries(found, name)) entries.push(entry);
  expect(await bolt.lastKey(found, name)).toEqual(entries.at(-1)?.[0]);
  return entries;
}

const text = (entries: readonly Entry[]): string[] => entries.map(([key, value]) => `${key.toString('hex')} ${value.toString('hex')}`);

/** Distinct keys in order, with values small and large. */
const entries = fc
  .array(
    fc.tuple(
      bytes({ minLength: 1, maxLength: 50 }),
      fc.oneof({ weight: 9, arbitrary: fc.nat(60) }, { weight: 1, arbitrary: fc.nat(20_000) }),
    ),
    {
      maxLength: 400,
    },
  )
  .map((made): Entry[] => {
    const distinct = new Map(made.map(([key, size]): [string, Entry] => [key.toString('hex'), [key, Buffer.alloc(size, key[0])]]));
    return [...distinct.values()].sort(([a], [b]) => a.compare(b));
  });

/** n entries of one size, for trees of a known shape. */
const regular = (n: number, size = 20): Entry[] =>
  Array.from({ length: n }, (_, i) => [Buffer.from(String(i).padStart(8, '0')), Buffer.alloc(size, i)]);

const damaged = (file: Buffer, message?: string): Promise<void> =>
  expect(entriesOf(file, 'b')).rejects.toMatchObject({
    code: 'damaged',
    ...(message === undefined ? {} : { message: expect.stringContaining(message) }),
  });

describe('a bbolt file', () => {
  test('gives back what was written, at every page size', async () => {
    await fc.assert(
      fc.asyncProperty(entries, entries, fc.constantFrom(1024, 4096, 16384, 65536), async (one, two, pageSize) => {
        const file = await fileOf(pageSize, [bucket('b', one), bucket('c', two, 7)]);
        expect(text(await entriesOf(file, 'b'))).toEqual(text(one));
        expect(text(await entriesOf(file, 'c'))).toEqual(text(two));
      }),
      { numRuns: 60 },
    );
  });

  test('has no branch with fewer than two children, at any size', async () => {
    // With 1 KiB pages: 22 entries a leaf, 42 children a branch; a third level begins at 38,808.
    const sizes = [0, 1, 21, 22, 23, ...Array.from({ length: 90 }, (_, k) => 22 * k + 1), 22 * 42 * 42, 22 * 42 * 42 + 1, 40_000];
    for (const n of sizes) {
      const file = await fileOf(1024, [bucket('b', regular(n), 1000)]);
      expect(fewestChildren(file)).toBeGreaterThanOrEqual(2);
      expect((await entriesOf(file, 'b')).length).toBe(n);
    }
  });

  test('has two children a branch, even where their keys fill it with one', async () => {
    for (let n = 1; n < 12; n++) {
      const long = Array.from({ length: n }, (_, i): Entry => [Buffer.alloc(900, 65 + i), Buffer.alloc(100)]);
      const file = await fileOf(1024, [bucket('b', long)]);
      expect(fewestChildren(file)).toBeGreaterThanOrEqual(2);
      expect(text(await entriesOf(file, 'b'))).toEqual(text(long));
    }
  });

  test('of a big-endian machine is read', async () => {
    expect(text(await entriesOf(bigEndian(await fileOf(4096, [bucket('b', regular(3000))])), 'b'))).toEqual(text(regular(3000)));
  });

  test('has inline buckets, as real servers write them', async () => {
    const bolt = await BoltFile.open(memorySource(testdata('etcd-v3/v3-35.db.gz')));
    const buckets = await bolt.buckets();
    expect([...buckets.values()].some((found) => 'inline' in found)).toBe(true);
    for (const [name, found] of buckets) for await (const [key] of bolt.entries(found, name)) expect(key.length).toBeGreaterThan(0);
  });
});

describe('damage', () => {
  const leaf = { flags: 8, count: 10, overflow: 12, element: 16 };

  test('a cycle is found, at once and in bounded memory', async () => {
    const file = await fileOf(1024, [bucket('b', regular(2000))]);
    const branch = pages(file).find((page) => file.readUInt16LE(page + 8) === 1) as number;
    // Its second child becomes a page above it, or the first child again.
    for (const child of [branch / 1024, Number(file.readBigUInt64LE(branch + leaf.element + 8))]) {
      const looped = Buffer.from(file);
      looped.writeBigUInt64LE(BigInt(child), branch + leaf.element + 16 + 8);
      await damaged(looped);
    }
  });

  test('headers that lie are named', async () => {
    const file = await fileOf(1024, [bucket('b', regular(2000))]);
    const page = pages(file)[5] as number;
    const change = async (write: (copy: Buffer) => unknown, message: string): Promise<void> => {
      const copy = Buffer.from(file);
      write(copy);
      await damaged(copy, message);
    };
    await change((copy) => copy.writeBigUInt64LE(999n, page), 'says it is page 999');
    await change((copy) => copy.writeUInt16LE(0x10, page + leaf.flags), 'neither a branch');
    await change((copy) => copy.writeUInt16LE(65_000, page + leaf.count), 'more than fit');
    await change((copy) => copy.writeUInt32LE(0xffffffff, page + leaf.overflow), 'past the file');
    await change((copy) => copy.writeUInt32LE(5000, page + leaf.element + 4), 'outside its bytes');
    await change((copy) => copy.writeUInt32LE(0xffffffff, page + leaf.element + 12), 'outside its bytes');
    await change((copy) => copy.writeUInt32LE(0, page + leaf.element + 8), 'page');
  });

  test('an entry that reaches into the one before it is refused: a small file must not hold much', async () => {
    const file = await fileOf(1024, [bucket('b', regular(2000))]);
    const last = pages(file)
      .filter((page) => file.readUInt16LE(page + 8) === 2)
      .at(-2) as number;
    const element = last + 16 * file.readUInt16LE(last + leaf.count);
    const copy = Buffer.from(file);
    copy.writeUInt32LE(file.readUInt32LE(element + 4) - 1, element + 4);
    await damaged(copy, 'outside its bytes');
  });

  test('bytes changed anywhere end in entries or in a damaged file', async () => {
    const file = await fileOf(1024, [bucket('b', regular(300, 40))]);
    const change = fc.tuple(fc.nat(file.length / 1024 - 1), fc.oneof(fc.nat(15), fc.nat(120), fc.nat(1023)), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 5 }), async (changes) => {
        const copy = Buffer.from(file);
        for (const [page, at, value] of changes) copy[page * 1024 + at] = value;
        try {
          const bolt = await BoltFile.open(memorySource(copy));
          for (const [name, found] of await bolt.buckets()) for await (const _ of bolt.entries(found, name));
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(FerryError);
          expect(['damaged', 'unknown-format']).toContain((thrown as FerryError).code);
        }
      }),
      { numRuns: process.env.SOAK === undefined ? 1500 : 100_000 },
    );
  });

  test('every cut is damage', async () => {
    const file = await fileOf(4096, [bucket('b', regular(500, 300))]);
    for (let end = 0; end < file.length; end += 512) await damaged(file.subarray(0, end));
  });
});

/** Of all branch pages; Infinity when there are none. Overflow pages have no header. */
function fewestChildren(file: Buffer): number {
  let fewest = Number.POSITIVE_INFINITY;
  for (let page = 2048; page < file.length; page += (file.readUInt32LE(page + 12) + 1) * 1024) {
    if (file.readUInt16LE(page + 8) === 1) fewest = Math.min(fewest, file.readUInt16LE(page + 10));
  }
  return fewest;
}

function pages(file: Buffer): number[] {
  return Array.from({ length: file.length / 1024 - 2 }, (_, i) => (i + 2) * 1024);
}

/** The same file as a big-endian machine writes it; pages of 4096 bytes without overflow. */
function bigEndian(file: Buffer): Buffer {
  const copy = Buffer.from(file);
  const swap = (at: number, size: number): void => {
    copy.subarray(at, at + size).reverse();
  };
  for (let page = 0; page < file.length; page += 4096) {
    const flags = file.readUInt16LE(page + 8);
    const count = file.readUInt16LE(page + 10);
    if (flags === 4) {
      for (const at of [0, 4, 8, 12]) swap(page + 16 + at, 4);
      for (const at of [16, 24, 32, 40, 48]) swap(page + 16 + at, 8);
      copy.writeBigUInt64BE(fnv1a(copy.subarray(page + 16, page + 72)), page + 72);
    }
    for (let i = 0; i < count; i++) {
      const element = page + 16 + i * 16;
      const isBucket = flags === 2 && file.readUInt32LE(element) === 1;
      if (isBucket) swap(element + file.readUInt32LE(element + 4) + file.readUInt32LE(element + 8), 8);
      for (const at of flags === 2 ? [0, 4, 8, 12] : [0, 4]) swap(element + at, 4);
      if (flags === 1) swap(element + 8, 8);
    }
    swap(page, 8);
    swap(page + 8, 2);
    swap(page + 10, 2);
    swap(page + 12, 4);
  }
  return copy;
}

function fnv1a(input: Buffer): bigint {
  return input.reduce((hash, byte) => BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n), 0xcbf29ce484222325n);
}
