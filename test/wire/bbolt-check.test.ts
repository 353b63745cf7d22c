import { describe, expect, test } from 'vitest';
import { checkPages, unreachedLeaves } from '../../src/wire/bbolt-check.js';
import { BoltFile } from '../../src/wire/bbolt-file.js';
import { decodeMeta, encodeMeta } from '../../src/wire/bbolt-meta.js';
import { writeBoltFile } from '../../src/wire/bbolt-writer.js';
import { memorySource, testdata } from '../support/bytes.js';
import { failure } from '../support/cluster.js';

const PAGE = 4096;
const FREELIST = 0x10;
const NONE = 2n ** 64n - 1n;
/** etcd's own file: it names no free list, and has hundreds of pages that nothing reaches. */
const etcd = testdata('etcd-v3/v3-35.db.gz').subarray(0, -32);

interface Meta {
  root: number;
  freelist: number | undefined;
  pages: number;
}

/** The same file with other meta pages. */
function withMeta(file: Buffer, change: (meta: Meta) => Partial<Meta>): Buffer {
  const copy = Buffer.from(file);
  for (const id of [0, 1]) {
    const meta = decodeMeta(copy.subarray(id * PAGE, (id + 1) * PAGE));
    if (typeof meta !== 'object') throw new Error('no meta page');
    encodeMeta(copy.subarray(id * PAGE), id, { ...meta, ...change(meta) });
  }
  return copy;
}

/** The same file with a free list of its own in new pages at its end, and what its page is to say otherwise. */
function withFreelist(
  file: Buffer,
  ids: readonly number[],
  { count = ids.length, overflow = 0, flags = FREELIST, first = 0 } = {},
): Buffer {
  const { pages } = metaOf(file);
  const list = Buffer.alloc(PAGE * (overflow + 1));
  list.writeBigUInt64LE(BigInt(pages));
  list.writeUInt16LE(flags, 8);
  list.writeUInt16LE(count, 10);
  list.writeUInt32LE(overflow, 12);
  for (const [i, id] of ids.entries()) list.writeBigUInt64LE(BigInt(id), 16 + 8 * (first + i));
  if (first > 0) list.writeBigUInt64LE(BigInt(ids.length), 16);
  const longer = Buffer.concat([file.subarray(0, pages * PAGE), list]);
  return withMeta(longer, () => ({ freelist: pages, pages: pages + 1 + overflow }));
}

function metaOf(file: Buffer): Meta {
  const meta = decodeMeta(file.subarray(0, PAGE));
  const other = decodeMeta(file.subarray(PAGE, 2 * PAGE));
  if (typeof meta !== 'object' || typeof other !== 'object') throw new Error('no meta page');
  return meta.txid > other.txid ? meta : other;
}

async function check(file: Buffer): Promise<void> {
  await checkPages(await BoltFile.open(memorySource(file, 'x.db')));
}

/** Pages that a tree reaches, and those that none does, by a list of all of which not one may be a page in use. */
async function pagesOf(file: Buffer): Promise<{ used: number[]; unused: number[] }> {
  const bolt = await BoltFile.open(memorySource(file));
  await checkPages(bolt);
  const [used, unused]: [number[], number[]] = [[], []];
  for (let id = 2; id < bolt.meta.pages; id++) {
    const isUsed = [...bolt.reached.values()].some((seen) => ((seen[id >>> 3] as number) & (1 << (id & 7))) !== 0);
    (isUsed ? used : unused).push(id);
  }
  return { used, unused };
}

const { used, unused } = await pagesOf(etcd);
const [a, b, c] = unused as [number, number, number];
const end = metaOf(etcd).pages;
const inUse = used[used.length >> 1] as number;

test('a file of etcd names no free list, and its pages that nothing reaches are nothing wrong', async () => {
  const bolt = await BoltFile.open(memorySource(etcd));
  expect(bolt.meta.freelist).toBeUndefined();
  expect(etcd.readBigUInt64LE(48)).toBe(NONE);
  expect([used.length, unused.length].every((count) => count > 100)).toBe(true);
  await check(etcd);
});

describe('a free list', () => {
  test.each([
    { what: 'of nothing', ids: [] },
    { what: 'of pages that nothing uses, not all of them', ids: [a, b, c] },
    { what: 'of all pages that nothing uses', ids: unused, options: { overflow: Math.ceil((unused.length * 8 + 16) / PAGE) - 1 } },
    { what: 'whose count is its first number', ids: [a, b], options: { count: 0xffff, first: 1 } },
  ])('$what is whole', async ({ ids, options }) => {
    await check(withFreelist(etcd, ids, options));
  });

  test.each([
    {
      what: 'a page in use',
      file: withFreelist(
        etcd,
        [a, inUse].sort((x, y) => x - y),
      ),
      says: /names page \d+, which a bucket uses/,
    },
    { what: 'a page twice', file: withFreelist(etcd, [a, a]), says: /names page \d+ after page/ },
    { what: 'pages out of order', file: withFreelist(etcd, [b, a]), says: /names page \d+ after page/ },
    { what: 'a meta page', file: withFreelist(etcd, [1]), says: /names page 1, of/ },
    { what: 'a page beyond the end', file: withFreelist(etcd, [a, end + 1]), says: /names page \d+, of/ },
    { what: 'a page far beyond the end', file: withFreelist(etcd, [a, 2 ** 60]), says: /names page \d+, of/ },
    { what: 'itself', file: withFreelist(etcd, [a, end]), says: /in which it is itself/ },
    { what: 'more pages than it has room for', file: withFreelist(etcd, [a], { count: 600 }), says: /more than it has room for/ },
    { what: 'a count that is no count', file: withFreelist(etcd, [2 ** 50, a], { count: 0xffff }), says: /more than it has room for/ },
    { what: 'nothing, on a leaf', file: withFreelist(etcd, [], { flags: 2 }), says: /flags 0x2 are not a free list's/ },
    { what: 'nothing, on a meta page', file: withFreelist(etcd, [], { flags: 4 }), says: /flags 0x4/ },
  ])('that names $what is damaged', async ({ file, says }) => {
    expect(await failure(check(file))).toMatchObject({ code: 'damaged', message: expect.stringMatching(says) });
  });

  test.each([
    { what: 'a page in use', id: metaOf(etcd).root, says: /flags 0x[12] are not/ },
    { what: 'a page that is not there', id: end, says: /is page \d+, of \d+ in use/ },
    { what: 'a meta page', id: 1, says: /is page 1, of/ },
    { what: 'a number of the largest but one', id: 2 ** 53, says: /is page \d+, of/ },
  ])('that the meta pages say is $what is damaged', async ({ id, says }) => {
    const file = withMeta(etcd, () => ({ freelist: id }));
    expect(await failure(check(file))).toMatchObject({ code: 'damaged', message: expect.stringMatching(says) });
  });

  test('that flows over into pages in use is damaged, and so is one whose page says another number', async () => {
    const flowing = withFreelist(etcd, [a]);
    flowing.writeUInt32LE(3, end * PAGE + 12);
    expect(await failure(check(flowing))).toMatchObject({ code: 'damaged', message: expect.stringMatching(/takes pages/) });
    const renumbered = withFreelist(etcd, [a]);
    renumbered.writeBigUInt64LE(7n, end * PAGE);
    expect(await failure(check(renumbered))).toMatchObject({ code: 'damaged', message: expect.stringMatching(/says it is page 7/) });
  });
});

test('two buckets that share a page are damaged', async () => {
  const bucket = (name: string) => ({
    name,
    entries: async function* () {
      yield { bytes: Buffer.from('kv'), starts: [0], values: [1], ends: [2], count: 1 };
    },
  });
  const chunks: Buffer[] = [];
  await writeBoltFile(async (chunk) => void chunks.push(chunk), PAGE, [bucket('a'), bucket('b')]);
  const file = Buffer.concat(chunks);
  await check(file);
  const root = metaOf(file).root * PAGE;
  const value = (i: number): number => {
    const element = root + 16 + 16 * i;
    return element + file.readUInt32LE(element + 4) + file.readUInt32LE(element + 8);
  };
  file.writeBigUInt64LE(file.readBigUInt64LE(value(0)), value(1));
  expect(await failure(check(file))).toMatchObject({ code: 'damaged', message: expect.stringMatching(/is another bucket's, too/) });
});

test('leaves that no tree reaches are counted, those asked for alone', async () => {
  const bolt = await BoltFile.open(memorySource(etcd));
  const { signal } = new AbortController();
  expect(await unreachedLeaves(bolt, (key) => key.length === 17 && key[8] === 0x5f, signal)).toBeGreaterThan(0);
  expect(await unreachedLeaves(bolt, () => false, signal)).toBe(0);
});
