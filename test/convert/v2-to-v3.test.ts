import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import { ttlWish } from '../../src/convert/lease-ttl.js';
import { isExpirationLease, leaseIdOf } from '../../src/convert/v2-expiration.js';
import { treeSortKey } from '../../src/convert/v2-map.js';
import { selectNodes } from '../../src/convert/v2-select.js';
import { type ConvertTreeOptions, convertStream, convertTree } from '../../src/convert/v2-to-v3.js';
import { EXACT_TTL, ExpirationLeases } from '../../src/convert/v2-ttl.js';
import { recordAt } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { Lease } from '../../src/model/lease.js';
import type { KeySelection, Source } from '../../src/model/source.js';
import { compareTreePaths, isUnder } from '../../src/model/tree-path.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { bytes } from '../support/arbitrary.js';
import { dir, file, type MadeNode, treeOf } from '../support/tree.js';
import { failure, nodesOf } from '../support/v2.js';

const SECOND = 1_000_000_000n;
const NOW = 1_700_000_000_250;
/** An expiration so many nanoseconds after second `s` from now on. */
const at = (s: number, ns = 0n): bigint => (BigInt(Math.floor(NOW / 1000)) + BigInt(s)) * SECOND + ns;
const second = (s: number): bigint => BigInt(Math.floor(NOW / 1000) + s);

async function recordsOf(source: Source): Promise<KeyValue[]> {
  const records: KeyValue[] = [];
  for await (const batch of source.records()) for (let i = 0; i < batch.count; i++) records.push(decodeKeyValue(recordAt(batch, i)));
  return records;
}

/** Converts a tree in both ways there are, and expects them to agree. */
async function convert(tree: Source, options: ConvertTreeOptions = {}) {
  const source = await convertTree(tree, { now: () => NOW, ...options });
  const records = await recordsOf(source);
  const leases: Lease[] = [];
  for await (const some of source.leases()) leases.push(...some);
  expect(source.info).toMatchObject({ api: 'v3', order: 'tree', revision: 9n, estimatedRecords: records.length });
  const stream = convertStream(tree, { now: () => NOW, ...options });
  expect(await recordsOf(stream)).toEqual(records);
  expect(stream.notes.list()).toEqual(source.notes.list());
  expect(stream.counts).toEqual(source.counts);
  for (const lease of leases) {
    const told = stream.leaseOf?.(lease.id) as Lease;
    expect(told).toMatchObject({ id: lease.id, origin: lease.origin });
    const end = ({ seenAt, remainingTtl }: Lease): number => seenAt + Number(remainingTtl) * 1000;
    expect(end(lease) - end(told)).toBeGreaterThanOrEqual(0);
    expect(end(lease) - end(told)).toBeLessThanOrEqual(1000);
  }
  return { source, records, leases, keys: records.map(({ key }) => key.toString()), notes: source.notes.list() };
}

const prefixes = (...texts: string[]): KeySelection => ({ prefixes: texts.map((text) => Buffer.from(text)), excludePrefixes: [] });

test('a file becomes a key by its path, with its indices; a directory vanishes', async () => {
  const raw = Buffer.from([0xff, 0, 1]);
  const { records, leases, notes } = await convert(
    treeOf(dir('/a'), { ...file('/a/b', raw), createdIndex: 7n, modifiedIndex: 2n ** 62n }, file('/a-b', ''), file('/_h')),
  );
  expect(records).toEqual([
    { key: Buffer.from('/a/b'), value: raw, createRevision: 7n, modRevision: 2n ** 62n, version: 1n, lease: 0n },
    { key: Buffer.from('/a-b'), value: Buffer.alloc(0), createRevision: 1n, modRevision: 1n, version: 1n, lease: 0n },
    { key: Buffer.from('/_h'), value: Buffer.from('v'), createRevision: 1n, modRevision: 1n, version: 1n, lease: 0n },
  ]);
  expect(leases).toEqual([]);
  expect(notes).toEqual([]);
});

describe('an expiration', () => {
  test('becomes a lease, shared by all that expire in the same second', async () => {
    const { records, leases, notes } = await convert(
      treeOf(file('/a', 'v', at(9, 1n)), file('/b', 'v', at(10)), file('/c', 'v', at(10, 1n)), file('/d')),
    );
    const [ten, eleven] = [leaseIdOf(second(10)), leaseIdOf(second(11))];
    expect(records.map(({ lease }) => lease)).toEqual([ten, ten, eleven, 0n]);
    // Each ends with the earliest of its keys (in whole milliseconds, rounded up), as if seen a moment ago.
    const seen = { seenAt: Math.floor(NOW / 1000) * 1000 + 1, origin: 'expiration' };
    expect(leases).toEqual([
      { id: ten, grantedTtl: 9n, remainingTtl: 9n, ...seen },
      { id: eleven, grantedTtl: 10n, remainingTtl: 10n, ...seen },
    ]);
    expect(notes).toMatchObject([{ code: 'expiration-rounded', count: 2, lossy: false, examples: ['"/a"', '"/c"'] }]);
  });

  test('gives the same lease id whenever it is converted', async () => {
    const tree = treeOf(file('/a', 'v', at(500)));
    const [first, later] = [await convert(tree), await convert(tree, { now: () => NOW + 100_000 })];
    expect(later.leases[0]?.id).toBe(first.leases[0]?.id);
    expect(later.leases[0]?.remainingTtl).toBe(400n);
  });

  test('of a directory is that of all under it, if theirs is not earlier', async () => {
    const { records } = await convert(
      treeOf(
        dir('/d', at(100)),
        dir('/d/deep', at(200)),
        file('/d/deep/x'),
        file('/d/deep/y', 'v', at(50)),
        file('/d/z', 'v', at(150)),
        file('/d-'),
        file('/e'),
      ),
    );
    expect(records.map(({ lease }) => lease)).toEqual([100, 50, 100].map((s) => leaseIdOf(second(s))).concat(0n, 0n));
  });

  test('of a directory holds for what is selected under it', async () => {
    const tree = treeOf(dir('/d', at(100)), file('/d/x'), file('/d/y'));
    expect(await convert(tree, { selection: prefixes('/d/x') })).toMatchObject({
      keys: ['/d/x'],
      leases: [{ id: leaseIdOf(second(100)) }],
    });
  });

  test('that is over leaves the node out, with all under it, and says so', async () => {
    const { keys, leases, notes } = await convert(
      treeOf(file('/a', 'v', at(-1)), dir('/d', at(0)), file('/d/x'), file('/d/y', 'v', at(90)), dir('/e', at(-9)), file('/f', 'v', at(1))),
    );
    expect(keys).toEqual(['/f']);
    expect(leases).toHaveLength(1);
    expect(notes).toMatchObject([
      { code: 'expired-node-dropped', count: 5, lossy: true, examples: ['"/a"', '"/d"', '"/d/x"', '"/d/y"', '"/e"'] },
    ]);
  });
});

test('empty directories are left out, counted and named', async () => {
  const { keys, notes } = await convert(treeOf(dir('/a'), dir('/a/b'), dir('/a/b/c'), dir('/a-'), file('/b'), dir('/z', at(5))));
  expect(keys).toEqual(['/b']);
  expect(notes).toMatchObject([{ code: 'empty-directory', count: 3, lossy: true, examples: ['"/a/b/c"', '"/a-"', '"/z"'] }]);
});

test('paths are selected by their old names and mapped to new ones', async () => {
  const tree = treeOf(dir('/old'), file('/old/a'), file('/other'));
  const mapping = parseKeyMapping({ map: ['/old=/new'], stripPrefix: '/', addPrefix: 'v2:' });
  expect((await convert(tree, { mapping, selection: prefixes('/old') })).keys).toEqual(['v2:new/a']);
  const error = await failure(convert(tree, { mapping: parseKeyMapping({ stripPrefix: '/old/' }) }));
  expect(error).toMatchObject({ code: 'usage', message: expect.stringContaining('"/other"') });
});

test("keeps the source's own notes, and closes it", async () => {
  const tree = treeOf(file('/a'));
  tree.notes.add('value-not-utf8', 'not text', { lossy: true });
  let closed = 0;
  const { source } = await convert({ ...tree, close: async () => void closed++ });
  expect(source.notes.list()).toMatchObject([{ code: 'value-not-utf8', lossy: true }]);
  await source.close();
  expect(closed).toBe(1);
});

test('only a tree is taken; an empty one is an empty keyspace', async () => {
  expect((await convert(treeOf())).records).toEqual([]);
  expect((await convert(treeOf(dir('/')))).notes).toEqual([]);
  const tree = treeOf();
  const v3 = { ...tree, info: { ...tree.info, api: 'v3', order: 'key' } } as const;
  expect((await failure(convertTree(v3))).code).toBe('usage');
});

describe('a lease id', () => {
  test('is a positive int64 that grows with the second, and is told from others', () => {
    const seconds = fc.bigInt({ min: 0n, max: 2n ** 40n });
    fc.assert(
      fc.property(seconds, seconds, (a, b) => {
        expect(leaseIdOf(a)).toBeGreaterThan(0n);
        expect(leaseIdOf(a)).toBeLessThan(2n ** 63n);
        expect(isExpirationLease(leaseIdOf(a))).toBe(true);
        expect(leaseIdOf(a) < leaseIdOf(b)).toBe(a < b);
      }),
    );
    expect(leaseIdOf(0x6553f100n).toString(16)).toBe('763200006553f100');
    expect(isExpirationLease(0x7587_0000_0000_0001n)).toBe(false);
  });

  test('granted at any later moment with what is left then, is within a second of every expiration of its second', () => {
    const group = fc.array(fc.bigInt({ min: 0n, max: SECOND - 1n }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 2 ** 31 }), group, fc.nat({ max: 15_000 }), (s, parts, later) => {
        const expirations = parts.map((part) => second(s) * SECOND - part);
        const leases = new ExpirationLeases(EXACT_TTL, NOW);
        for (const expiration of expirations) leases.see(expiration);
        const [lease] = leases.list();
        expect(leases.count).toBe(1);
        expect(new Set(expirations.map((each) => leases.idOf(each)))).toEqual(new Set([lease?.id]));
        const now = NOW + later;
        const wish = ttlWish(lease as Lease, 'deadline', now);
        const end = BigInt(now) * 1_000_000n + (wish.kind === 'lease' ? wish.ttl : 0n) * SECOND;
        for (const each of expirations) expect(end - each < SECOND + 1_000_000n && each - end < SECOND).toBe(true);
      }),
    );
  });
});

describe('what becomes of expirations', () => {
  const tree = () =>
    treeOf(dir('/d', at(100)), file('/d/x'), file('/e', 'v', at(130)), file('/f', 'v', at(300)), file('/g'), file('/old', 'v', at(-1)));

  test('exact, at a coarser granularity: rounded up to a multiple of it', async () => {
    const { records, leases, notes } = await convert(tree(), { ttl: { kind: 'exact', granularity: 60n } });
    const minute = (s: number) => ((second(s) + 59n) / 60n) * 60n;
    expect(records.map(({ lease }) => lease)).toEqual([...[100, 130, 300].map((s) => leaseIdOf(minute(s))), 0n]);
    for (const lease of leases) expect((BigInt(lease.seenAt) / 1000n + lease.remainingTtl) % 60n).toBe(0n);
    expect(notes.map(({ code }) => code)).toEqual(['expiration-rounded', 'expired-node-dropped']);
  });

  test('attach-lease: one lease for all, of the TTL that was given', async () => {
    const options = { ttl: { kind: 'attach-lease', ttl: 3600n } } as const;
    const { records, leases, notes, source } = await convert(tree(), options);
    expect(leases).toEqual([{ id: leases[0]?.id, grantedTtl: 3600n, remainingTtl: 3600n, seenAt: NOW, origin: 'lease' }]);
    expect(records.map(({ lease }) => lease)).toEqual([leases[0]?.id, leases[0]?.id, leases[0]?.id, 0n]);
    expect(notes).toMatchObject([
      { code: 'ttl-attached-lease', count: 3, lossy: false },
      { code: 'expired-node-dropped', count: 1, lossy: true },
    ]);
    expect(source.counts).toMatchObject({ leases: 1, mortal: 5, expired: 1, keys: 4 });
    // Told again, it is the same one; and none is made where nothing expires.
    expect((await convert(tree(), { ...options, now: () => NOW + 5000 })).leases[0]?.id).toBe(leases[0]?.id);
    expect((await convert(treeOf(file('/a')), options)).leases).toEqual([]);
  });

  test('permanent: none is kept, and what has expired is left behind all the same', async () => {
    const { records, leases, notes } = await convert(tree(), { ttl: { kind: 'permanent' } });
    expect(records.map(({ lease }) => lease)).toEqual([0n, 0n, 0n, 0n]);
    expect(leases).toEqual([]);
    expect(notes).toMatchObject([
      { code: 'ttl-made-permanent', count: 3, lossy: false },
      { code: 'expired-node-dropped', count: 1, lossy: true },
    ]);
  });
});

describe('what v3 cannot hold', () => {
  const tree = () =>
    treeOf(dir('/a'), dir('/a/_h'), file('/a/_h/x'), dir('/b', at(9)), dir('/b/c'), dir('/d'), file('/d/old', 'v', at(-1)), file('/e'));

  test('empty directories become markers when asked for, with the lease of what is above them', async () => {
    const { records, keys, notes } = await convert(tree(), { emptyDirs: 'marker', hidden: 'keep' });
    expect(keys).toEqual(['/a/_h/x', '/b/c/', '/d/', '/e']);
    expect(records[1]).toMatchObject({ value: Buffer.alloc(0), lease: leaseIdOf(second(9)) });
    expect(notes).toMatchObject([
      { code: 'empty-directory-marked', count: 2, lossy: false, examples: ['"/b/c"', '"/d"'] },
      { code: 'expired-node-dropped', count: 1 },
    ]);
  });

  test('what is dropped because the user said so is nothing lost', async () => {
    const { keys, source, notes } = await convert(tree(), { emptyDirs: 'drop', hidden: 'drop', dropExpired: true });
    expect(keys).toEqual(['/e']);
    expect(notes.filter(({ lossy }) => lossy)).toEqual([]);
    expect(notes).toMatchObject([
      { code: 'hidden-node-dropped', count: 2 },
      { code: 'empty-directory', count: 3, examples: ['"/a"', '"/b/c"', '"/d"'] },
      { code: 'expired-node-dropped', count: 1 },
    ]);
    expect(source.counts).toMatchObject({
      nodes: 8,
      directories: 5,
      hidden: 2,
      expired: 1,
      emptyDirectories: 3,
      keys: 1,
      markers: 0,
      bytes: 3,
    });
    expect(source.counts.prefixes.map(({ prefix, nodes, keys, leftOut }) => [prefix.toString(), nodes, keys, leftOut])).toEqual([
      ['/a', 3, 0, 3],
      ['/b', 2, 0, 1],
      ['/d', 2, 0, 2],
      ['/e', 1, 1, 0],
    ]);
  });

  test('a marker is renamed as a path in the directory would be, and counted for its rule', async () => {
    const mapping = parseKeyMapping({ map: ['/d/=/new/', '/b=/x'] });
    const { keys, source } = await convert(treeOf(dir('/b'), file('/b/y'), dir('/d')), { emptyDirs: 'marker', mapping });
    expect(keys).toEqual(['/x/y', '/new/']);
    expect(mapping.rules.map(({ from }, i) => [from.toString(), source.counts.mapped[i]])).toEqual([
      ['/d/', 1],
      ['/b', 1],
    ]);
  });
});

test('prefixes beyond the first thousand are counted together', async () => {
  const paths = Array.from({ length: 1005 }, (_, i) => `/${String(i).padStart(4, '0')}`);
  const { source } = await convert(treeOf(...paths.flatMap((path) => [dir(path), file(`${path}/x`)])));
  expect(source.counts.prefixes).toHaveLength(1001);
  expect(source.counts.prefixes.at(-1)).toMatchObject({ prefix: Buffer.alloc(0), nodes: 10, keys: 5 });
});

describe('selecting nodes', () => {
  const paths = async (tree: Source, selection: KeySelection) =>
    (await nodesOf(selectNodes(tree.records(), selection))).map(({ path }) => path.toString());

  test('takes along the directories with a TTL above what is selected, once, and no others', async () => {
    const tree = () =>
      treeOf(
        dir('/a'),
        dir('/a/t', at(9)),
        dir('/a/t/u', at(8)),
        file('/a/t/u/x'),
        file('/a/t/u/y'),
        dir('/a/w', at(9)),
        file('/a/w/z'),
        file('/b'),
      );
    expect(await paths(tree(), prefixes('/a/t/u/x', '/b'))).toEqual(['/a/t', '/a/t/u', '/a/t/u/x', '/b']);
    expect(await paths(tree(), prefixes('/a/t/u/'))).toEqual(['/a/t', '/a/t/u', '/a/t/u/x', '/a/t/u/y']);
    expect(await paths(tree(), prefixes('/a/w'))).toEqual(['/a/w', '/a/w/z']);
    expect(await paths(tree(), prefixes('/nothing'))).toEqual([]);
    expect(await paths(tree(), prefixes())).toHaveLength(8);
  });

  test('keeps the order of the tree, whatever is selected', async () => {
    const name = fc.constantFrom('a', 'b', 'a-', 'a.', '_');
    const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`);
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(path), path, fc.nat({ max: 3 }), async (all, prefix, ttlEvery) => {
        const whole = [
          ...new Set(
            all.flatMap((each) =>
              [...each.matchAll(/\//g)]
                .slice(1)
                .map(({ index }) => each.slice(0, index))
                .concat(each),
            ),
          ),
        ];
        whole.sort((a, b) => compareTreePaths(Buffer.from(a), Buffer.from(b)));
        const isDir = (each: string) => whole.some((other) => isUnder(Buffer.from(other), Buffer.from(each)));
        const nodes: MadeNode[] = whole.map((each, i) => (isDir(each) ? dir(each, i % (ttlEvery + 1) === 0 ? at(5) : 0n) : file(each)));
        const kept = await paths(treeOf(...nodes), prefixes(prefix));
        const isWanted = ({ path: own, dir: isADir, expiration }: MadeNode) =>
          String(own).startsWith(prefix) ||
          (isADir &&
            expiration !== 0n &&
            whole.some((other) => other.startsWith(prefix) && isUnder(Buffer.from(other), Buffer.from(own as string))));
        expect(kept).toEqual(nodes.filter(isWanted).map((node) => node.path));
      }),
    );
  });
});

test('tree order puts parents first and siblings by bytes', () => {
  const names = fc.array(
    bytes({ minLength: 1, maxLength: 3 }).map((b) => Buffer.from(b.map((byte) => (byte === 0x2f ? 0x30 : byte)))),
    { minLength: 1, maxLength: 3 },
  );
  const joined = (parts: Buffer[]): Buffer => Buffer.concat(parts.flatMap((part) => [Buffer.from('/'), part]));
  fc.assert(
    fc.property(names, names, (a, b) => {
      const byNames = (x: Buffer[], y: Buffer[]): number => {
        for (let i = 0; i < Math.min(x.length, y.length); i++) {
          const order = Buffer.compare(x[i] as Buffer, y[i] as Buffer);
          if (order !== 0) return order;
        }
        return x.length - y.length;
      };
      expect(Math.sign(compareTreePaths(joined(a), joined(b)))).toBe(Math.sign(byNames(a, b)));
      expect(Buffer.compare(treeSortKey(joined(a)), treeSortKey(joined(b)))).toBe(Math.sign(byNames(a, b)));
    }),
  );
});

test('what was proven of nodes does not count for keys', async () => {
  const tree = treeOf(file('/a'));
  const proven = { ...tree, info: { ...tree.info, largestRecord: 10 } };
  expect((await convertTree(proven)).info.largestRecord).toBeUndefined();
  expect(convertStream(proven).info.largestRecord).toBeUndefined();
});
