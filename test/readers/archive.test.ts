import { describe, expect, test } from 'vitest';
import { openArchive } from '../../src/archive/open.js';
import { recordAt } from '../../src/model/batch.js';
import { EVERYTHING, type KeySelection } from '../../src/model/source.js';
import { archiveSource } from '../../src/readers/archive.js';
import { KeySet } from '../../src/selection/key-set.js';
import { keyOf } from '../../src/wire/keyvalue.js';
import { cutInto, kv, memorySource, V3_INFO } from '../archive/memory.js';
import { AUTH, LEASES, packed } from '../archive/samples.js';
import { dir, file, treeOf } from '../support/tree.js';
import { nodesOf } from '../support/v2.js';

const selection = (prefixes: string[], excludePrefixes: string[] = []): KeySelection => ({
  prefixes: prefixes.map((text) => Buffer.from(text)),
  excludePrefixes: excludePrefixes.map((text) => Buffer.from(text)),
});

const names = Array.from({ length: 30 }, (_, i) => `/k/${String(i).padStart(2, '0')}`);
const records = names.map((name, i) => kv(name, Buffer.alloc(1_000_000, i)));
const { bytes, account } = await packed({
  leases: [LEASES],
  auth: AUTH,
  batches: cutInto(records, 10),
  info: { selection: selection(['/k/'], ['/x']) },
});

async function open(wanted: KeySelection) {
  const stored = memorySource(bytes);
  return { stored, source: archiveSource(await openArchive(stored), 'a.tar', wanted) };
}

async function keysOf(wanted: KeySelection): Promise<{ keys: string[]; segmentsRead: number }> {
  const { stored, source } = await open(wanted);
  const before = stored.reads.length;
  const keys: string[] = [];
  for await (const batch of source.records()) for (let i = 0; i < batch.count; i++) keys.push(String(keyOf(recordAt(batch, i))));
  return { keys, segmentsRead: stored.reads.length - before };
}

describe('an archive as a source', () => {
  test('tells what its archive was made from', async () => {
    const { source } = await open(EVERYTHING);
    const { kind, location, selection: held, ...rest } = V3_INFO;
    expect(source.info).toEqual({
      ...rest,
      kind: 'archive',
      isSelectionKnown: true,
      location: 'a.tar',
      selection: selection(['/k/'], ['/x']),
      estimatedRecords: 30,
    });
    expect([kind, location, held]).toBeDefined();
  });

  test('gives records and leases as often as they are asked for', async () => {
    const { source } = await open(EVERYTHING);
    for (let i = 0; i < 2; i++) {
      let count = 0;
      for await (const batch of source.records()) count += batch.count;
      expect(count).toBe(30);
      const leases = [];
      for await (const some of source.leases()) leases.push(...some);
      expect(leases).toEqual(LEASES);
    }
    expect(await source.auth()).toEqual(AUTH);
    await source.close();
  });

  test('reads only the segments that can hold what is wanted', async () => {
    expect(account.manifest.segments.length).toBe(4);
    expect(await keysOf(selection(['/k/09']))).toEqual({ keys: ['/k/09'], segmentsRead: 1 });
    expect(await keysOf(selection(['/k/2'], ['/k/21', '/k/25']))).toEqual({
      keys: ['/k/20', '/k/22', '/k/23', '/k/24', '/k/26', '/k/27', '/k/28', '/k/29'],
      segmentsRead: 2,
    });
    expect(await keysOf(selection(['/z']))).toEqual({ keys: [], segmentsRead: 0 });
    expect((await keysOf(selection([], ['/k/0']))).keys).toEqual(names.slice(10));
    expect((await keysOf(selection(['']))).keys).toEqual(names);
  });

  test('narrows the selection its archive was made with', async () => {
    expect((await open(selection(['/k/1', '/y'], ['/k/11']))).source.info.selection).toEqual(selection(['/k/1'], ['/k/11']));
    expect((await open(selection(['/']))).source.info.selection).toEqual(selection(['/k/']));
  });

  test('does not claim what its archive was not made with', async () => {
    const { info } = (await open(selection(['/y']))).source;
    expect(KeySet.of(info.selection).isEmpty).toBe(true);
  });

  test('of a tree gives the directories with a TTL above what is selected, from whichever segment they lie in', async () => {
    const [early, late] = [1_900_000_000_000_000_000n, 1_900_000_001_000_000_000n];
    const filler = ['/a/b/1', '/a/b/2', '/a/b/3'].map((path) => file(path, Buffer.alloc(5_000_000, path)));
    const nodes = [dir('/a', late), dir('/a/b', early), ...filler, dir('/a/c'), file('/a/c/d'), dir('/e', early), file('/e/f')];
    const tree = treeOf(...nodes);
    const batches = [];
    for await (const batch of tree.records()) batches.push(batch);
    const made = await packed({ batches, info: { api: 'v2', order: 'tree', selection: EVERYTHING } });
    const reader = await openArchive(memorySource(made.bytes));
    expect(reader.manifest.segments.length).toBeGreaterThan(1);
    const paths = async (...prefixes: string[]) => {
      const source = archiveSource(reader, 'a.tar', selection(prefixes));
      return (await nodesOf(source.records())).map(({ path }) => path.toString());
    };
    expect(await paths('/a/c/')).toEqual(['/a', '/a/c/d']);
    expect(await paths('/a/b/3', '/e/f')).toEqual(['/a', '/a/b', '/a/b/3', '/e', '/e/f']);
    expect(await paths('/a/x')).toEqual([]);
  });
});
