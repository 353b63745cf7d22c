import { describe, expect, test } from 'vitest';
import type { Note } from '../../src/model/note.js';
import { BoltFile } from '../../src/wire/bbolt-file.js';
import { decodeMeta, encodeMeta } from '../../src/wire/bbolt-meta.js';
import { memorySource, testdata } from '../support/bytes.js';
import { leasesOf, recordsOf, snapshotSource } from '../support/snapshots.js';

const PAGE = 4096;
const NAME_BYTES = { keyAt: 4, keyLength: 8 } as const;
const etcd = testdata('etcd-v3/v3-35.db.gz').subarray(0, -32);

interface Read {
  readonly records: number;
  readonly notes: readonly Note[];
}

/** Reads all of a file, as verify does (`checkPages`) or as backup does. */
async function read(file: Buffer, checkPages: boolean): Promise<Read> {
  const source = await snapshotSource(file, { hash: 'unchecked', checkPages });
  try {
    await leasesOf(source);
    await source.auth();
    return { records: (await recordsOf(source)).length, notes: source.notes.list() };
  } finally {
    await source.close();
  }
}

/** The same file with other meta pages. */
function withMeta(file: Buffer, change: { freelist?: number; pages?: number }): Buffer {
  const copy = Buffer.from(file);
  for (const id of [0, 1]) {
    const meta = decodeMeta(copy.subarray(id * PAGE, (id + 1) * PAGE));
    if (typeof meta !== 'object') throw new Error('no meta page');
    encodeMeta(copy.subarray(id * PAGE), id, { ...meta, ...change });
  }
  return copy;
}

const bolt = await BoltFile.open(memorySource(etcd));
const rootPage = bolt.meta.root * PAGE;

/** Where in the file the entry of a bucket lies: its element, and its value. */
function entryOf(name: string): { element: number; key: number; value: number } {
  for (let i = 0; i < etcd.readUInt16LE(rootPage + 10); i++) {
    const element = rootPage + 16 + 16 * i;
    const key = element + etcd.readUInt32LE(element + NAME_BYTES.keyAt);
    const value = key + etcd.readUInt32LE(element + NAME_BYTES.keyLength);
    if (etcd.toString('latin1', key, value) === name) return { element, key, value };
  }
  throw new Error(`no bucket ${name}`);
}

const whole = await read(etcd, true);
const codes = ({ notes }: Read): string[] => notes.map(({ code }) => code);

test('a file of etcd is whole, and nothing is said of what its free pages hold', async () => {
  expect(codes(whole)).not.toContain('unreached-records');
  expect(codes(whole)).not.toContain('pages-damaged');
});

describe('what is wrong where no record is read from', () => {
  const renamed = Buffer.from(etcd);
  renamed.write('mets', entryOf('meta').key, 'latin1');
  const member = Buffer.from(etcd);
  // A bucket as small as this lies in its entry: 16 bytes, then its page.
  member.writeUInt16LE(4, entryOf('members').value + 16 + 8);

  test.each([
    {
      what: 'a free list on a page of the tree',
      file: withMeta(etcd, { freelist: bolt.meta.root }),
      noted: true,
      says: /free list is page/,
    },
    { what: 'a bucket that holds nothing for us', file: member, noted: false, says: /bucket "members" is not a leaf|flags/ },
    { what: 'no bucket "meta"', file: renamed, noted: false, says: /no bucket "meta"/ },
  ])('is damage to verify, with the way out, and is read past by all others: $what', async ({ file, noted, says }) => {
    await expect(read(file, true)).rejects.toMatchObject({
      code: 'damaged',
      message: expect.stringMatching(says),
      hint: expect.stringMatching(/restore --to new\.db/),
    });
    const rescued = await read(file, false);
    expect(rescued.records).toBe(whole.records);
    expect(codes(rescued).includes('pages-damaged')).toBe(noted);
  });
});

test('changes that nothing leads to are told where the tree of keys holds none', async () => {
  const { pages } = bolt.meta;
  const leaf = Buffer.alloc(PAGE);
  leaf.writeBigUInt64LE(BigInt(pages));
  leaf.writeUInt16LE(2, 8);
  const file = withMeta(Buffer.concat([etcd.subarray(0, pages * PAGE), leaf]), { pages: pages + 1 });
  file.writeBigUInt64LE(BigInt(pages), entryOf('key').value);
  const emptied = await read(file, true);
  expect(emptied.records).toBe(0);
  expect(emptied.notes.find(({ code }) => code === 'unreached-records')?.count).toBeGreaterThan(10);
  expect(codes(await read(file, false))).not.toContain('unreached-records');
});
