import { tmpdir } from 'node:os';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import { convertTree } from '../../src/convert/v2-to-v3.js';
import { type ConvertKeysOptions, convertKeys } from '../../src/convert/v3-to-v2.js';
import { recordAt } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { TreeNode } from '../../src/model/node.js';
import { quietRun } from '../../src/model/run.js';
import { compareTreePaths, isCleanPath } from '../../src/model/tree-path.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { kv, lease, type MadeSource, sourceOf } from '../support/source.js';
import { file, treeOf } from '../support/tree.js';
import { failure, nodesOf } from '../support/v2.js';

const NOW = 1_700_000_000_000;
const SECOND = 1_000_000_000n;

async function convert(keys: readonly KeyValue[], options: Partial<ConvertKeysOptions> = {}, made: MadeSource = {}) {
  const tree = await convertKeys(sourceOf(keys, made), { tmpDir: tmpdir(), now: () => NOW, ...options }, quietRun());
  try {
    const nodes = await nodesOf(tree.records());
    expect(await nodesOf(tree.records())).toEqual(nodes);
    expect(tree.info).toMatchObject({ api: 'v2', order: 'tree', estimatedRecords: nodes.length });
    return { nodes, notes: tree.notes.list(), shown: nodes.map(shown) };
  } finally {
    await tree.close();
  }
}

/** A node as one line: `/a/` for a directory, `/a=v` for a file. */
const shown = ({ path, dir, value }: TreeNode): string => (dir ? `${path}/` : `${path}=${value}`);

test('keys become files by their names, with the directories they need, parents first', async () => {
  const { nodes, shown: lines, notes } = await convert([kv('/a-b', '1'), kv('/a/b/c', '2'), kv('/a/b/d', ''), kv('/e', '3')]);
  expect(lines).toEqual(['/a/', '/a/b/', '/a/b/c=2', '/a/b/d=', '/a-b=1', '/e=3']);
  expect(nodes[2]).toMatchObject({ createdIndex: 7n, modifiedIndex: 9n, expiration: 0n });
  expect(nodes[0]).toMatchObject({ createdIndex: 7n, modifiedIndex: 7n, expiration: 0n });
  expect(notes).toEqual([]);
});

describe('what a tree cannot hold as it is', () => {
  test('a name without a leading slash gets one', async () => {
    const { shown: lines, notes } = await convert([kv('a/b', '1'), kv('c', '2')]);
    expect(lines).toEqual(['/a/', '/a/b=1', '/c=2']);
    expect(notes).toEqual([expect.objectContaining({ code: 'slash-added', count: 2, lossy: true })]);
  });

  test('of two keys for one place the one that was spelled so stands', async () => {
    const { shown: lines, notes } = await convert([kv('a', 'without'), kv('/a', 'with'), kv('/a/', '')]);
    expect(lines).toEqual(['/a=with']);
    expect(notes).toContainEqual(expect.objectContaining({ code: 'path-taken', count: 2, lossy: true }));
  });

  test('a value with other keys under it is left out', async () => {
    const { shown: lines, notes } = await convert([kv('/a', 'lost'), kv('/a/b', 'lost too'), kv('/a/b/c', '1'), kv('/a-', '2')]);
    expect(lines).toEqual(['/a/', '/a/b/', '/a/b/c=1', '/a-=2']);
    expect(notes).toEqual([expect.objectContaining({ code: 'value-over-directory', count: 2, lossy: true })]);
  });

  test('or goes into the directory, under the name that was given', async () => {
    const keys = [
      kv('/a', 'A'),
      kv('/a/b', 'B'),
      kv('/a/b/c', '1'),
      kv('/a/z', '2'),
      kv('/d', 'D'),
      kv('/d/value', 'first'),
      kv('/e', 'E'),
      kv('/e/value/f', '3'),
    ];
    const { shown: lines, notes } = await convert(keys, { valueName: 'value' });
    expect(lines).toEqual([
      '/a/',
      '/a/b/',
      '/a/b/c=1',
      '/a/b/value=B',
      '/a/value=A',
      '/a/z=2',
      '/d/',
      '/d/value=first',
      '/e/',
      '/e/value/',
      '/e/value/f=3',
    ]);
    expect(notes).toEqual([
      expect.objectContaining({ code: 'value-in-directory', count: 4, lossy: false }),
      expect.objectContaining({ code: 'path-taken', examples: ['"/d/value"', '"/e/value"'], lossy: true }),
    ]);
    for (const name of ['', 'a/b', '.', '..']) expect(await failure(convert(keys, { valueName: name }))).toMatchObject({ code: 'usage' });
  });

  test('names that are not UTF-8, or no path, are left out', async () => {
    const bad = ['//', '/', '/a//b', '/a/./b', '/a/..', '/b/', 'c//'];
    const { shown: lines, notes } = await convert([
      ...bad.map((name) => kv(name, 'v')),
      kv(Buffer.from([0x2f, 0xff]), 'v'),
      kv('/ok', 'v'),
    ]);
    expect(lines).toEqual(['/ok=v']);
    expect(notes).toEqual([
      expect.objectContaining({ code: 'path-not-v2', count: bad.length, lossy: true }),
      expect.objectContaining({ code: 'key-not-utf8', count: 1, examples: ['0x2fff'], lossy: true }),
    ]);
  });

  test('an empty key that ends in a slash marks a directory', async () => {
    const {
      nodes,
      shown: lines,
      notes,
    } = await convert([kv('/empty/', '', 5n), kv('/full/', '', 5n), kv('/full/a', '1')], {}, { leases: [lease(5n, 60n)] });
    expect(lines).toEqual(['/empty/', '/full/', '/full/a=1']);
    expect(nodes[0]?.expiration).toBeGreaterThan(0n);
    // What is in it would go with it.
    expect(nodes[1]?.expiration).toBe(0n);
    expect(notes).toEqual([expect.objectContaining({ code: 'directory-from-marker', count: 2, lossy: false })]);
  });

  test('values that are not UTF-8 and hidden names are kept, and said', async () => {
    const { shown: lines, notes } = await convert([kv('/_h/a', 'v'), kv('/b', Buffer.from([0xff]))]);
    expect(lines).toHaveLength(3);
    expect(notes).toEqual([
      expect.objectContaining({ code: 'hidden-in-v2', lossy: false }),
      expect.objectContaining({ code: 'value-not-utf8', lossy: true }),
    ]);
  });
});

describe('a lease', () => {
  const leases = [lease(1n, 100n, 30n, NOW - 10_000), lease(2n, 100n, -1n, NOW), lease(3n, 9n, 5n, NOW - 10_000)];
  const keys = [kv('/a', 'v', 1n), kv('/gone', 'v', 2n), kv('/past', 'v', 3n), kv('/unlisted', 'v', 4n)];
  const ends = async (leaseTtl?: 'remaining' | 'deadline' | 'granted' | 'drop') => {
    const { nodes, notes } = await convert(keys, leaseTtl === undefined ? {} : { leaseTtl }, { leases });
    const inSeconds = Object.fromEntries(
      nodes.map(({ path, expiration }) => [path.toString(), expiration === 0n ? 0 : Number(expiration / SECOND) - NOW / 1000]),
    );
    return { inSeconds, codes: notes.map(({ code, count }) => `${code} ${count}`) };
  };

  test('becomes an expiration: what remained of it, from now on, and none where nothing is told of it', async () => {
    expect(await ends()).toEqual({ inSeconds: { '/a': 30, '/past': 5, '/unlisted': 0 }, codes: ['lease-vanished 1', 'lease-unknown 1'] });
  });

  test('or its own end, or what it was granted with, or nothing', async () => {
    const codes = ['lease-vanished 1', 'lease-unknown 1'];
    expect(await ends('deadline')).toEqual({
      inSeconds: { '/a': 20, '/unlisted': 0 },
      codes: ['lease-vanished 1', 'lease-deadline-past 1', 'lease-unknown 1'],
    });
    expect(await ends('granted')).toEqual({ inSeconds: { '/a': 100, '/past': 9, '/unlisted': 0 }, codes });
    expect(await ends('drop')).toEqual({ inSeconds: { '/a': 0, '/gone': 0, '/past': 0, '/unlisted': 0 }, codes: [] });
  });
});

test('a mapping comes first; two keys under one name are a collision', async () => {
  const keys = [kv('app/a', '1'), kv('app/b', '2'), kv('x', '3')];
  const { shown: lines, notes } = await convert(keys, { mapping: parseKeyMapping({ map: ['app/=/new/', 'x=/y'] }) });
  expect(lines).toEqual(['/new/', '/new/a=1', '/new/b=2', '/y=3']);
  expect(notes).toEqual([]);
  const refused = await failure(convert(keys, { mapping: parseKeyMapping({ map: ['app/a=/x', 'x=/x'] }) }));
  expect(refused).toMatchObject({ code: 'usage', message: expect.stringContaining('collision') });
});

test('only v3 keys in their order are taken', async () => {
  const tree = treeOf(file('/a'));
  expect(await failure(convertKeys(tree, { tmpDir: tmpdir() }, quietRun()))).toMatchObject({ code: 'usage' });
});

test('any keys become a well-formed tree, and each is in it or counted', async () => {
  const part = fc.constantFrom('a', 'b', '_c', '.', '..', '', 'a-', '\u0000', 'ü');
  const name = fc
    .tuple(fc.constantFrom('/', '', '//'), fc.array(part, { minLength: 1, maxLength: 4 }))
    .map(([first, parts]) => first + parts.join('/'));
  const key = fc.oneof(
    name.map((text) => Buffer.from(text)),
    fc.uint8Array({ minLength: 1, maxLength: 3 }).map((bytes) => Buffer.from(bytes)),
  );
  const entry = fc.tuple(key, fc.constantFrom('', 'v')).filter(([bytes]) => bytes.length > 0);
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(entry, { maxLength: 30, selector: ([bytes]) => bytes.toString('latin1') }),
      fc.constantFrom(undefined, 'b'),
      async (entries, valueName) => {
        const { nodes, notes } = await convert(
          entries.map(([bytes, value]) => kv(bytes, value)),
          valueName === undefined ? {} : { valueName },
        );
        const directories = new Set(['']);
        for (const [i, { path, dir }] of nodes.entries()) {
          expect(isCleanPath(path)).toBe(true);
          if (i > 0) expect(compareTreePaths((nodes[i - 1] as TreeNode).path, path)).toBeLessThan(0);
          const text = path.toString('latin1');
          expect(directories).toContain(text.slice(0, text.lastIndexOf('/')));
          if (dir) directories.add(text);
        }
        const counted = (...codes: string[]) => notes.filter(({ code }) => codes.includes(code)).reduce((sum, { count }) => sum + count, 0);
        const left = counted('path-not-v2', 'key-not-utf8', 'path-taken', 'value-over-directory');
        const files = nodes.filter(({ dir }) => !dir).length;
        expect(files + left).toBeGreaterThanOrEqual(entries.length - counted('directory-from-marker'));
        expect(files + left).toBeLessThanOrEqual(entries.length);
      },
    ),
    { numRuns: 200 },
  );
});

test('a tree that went to v3 comes back the same', async () => {
  const tree = treeOf(file('/a/b', '1'), file('/a/c/d', '2'), file('/a-b', '3'));
  const keys: KeyValue[] = [];
  for await (const batch of (await convertTree(tree)).records())
    for (let i = 0; i < batch.count; i++) keys.push(decodeKeyValue(recordAt(batch, i)));
  expect((await convert(keys)).shown).toEqual(['/a/', '/a/b=1', '/a/c/', '/a/c/d=2', '/a-b=3']);
});
