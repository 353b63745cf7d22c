import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import type { TreeNode } from '../../src/model/node.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { type DataDirOptions, openDataDirV2 } from '../../src/readers/data-dir-v2.js';
import { fixtureIndex, fixtureTruth, UnpackedDataDir, V2_FIXTURES } from '../support/v2-data.js';
import { nodeLine, treeOf } from '../support/v2-tree.js';

const OPTIONS: DataDirOptions = { location: 'the dir', selection: EVERYTHING };

function open(path: string, options: Partial<DataDirOptions> = {}): Promise<Source> {
  return openDataDirV2(path, { ...OPTIONS, ...options }, quietRun());
}

function snaps(dir: string): string[] {
  const snapDir = join(dir, 'member/snap');
  return readdirSync(snapDir)
    .filter((name) => name.endsWith('.snap'))
    .sort()
    .map((name) => join(snapDir, name));
}

function walOf(dir: string): string {
  return join(dir, 'member/wal/0000000000000000-0000000000000000.wal');
}

const isHidden = (path: string): boolean => path.includes('/_');

function linesOf(nodes: readonly TreeNode[]): Map<string, string> {
  return new Map(nodes.map((node) => [node.path.toString(), nodeLine(node)]));
}

/** Every node the server told of is there as it told; whatever else is there is hidden. */
async function expectTruth(source: Source, fixture: string): Promise<void> {
  const found = linesOf(await treeOf(source));
  for (const [path, line] of fixtureTruth(fixture)) {
    expect(found.get(path)).toBe(line);
    found.delete(path);
  }
  expect([...found.keys()].filter((path) => !isHidden(path))).toEqual([]);
  expect(source.info.revision).toBe(fixtureIndex(fixture));
}

async function errorOf(promise: Promise<unknown>): Promise<FerryError> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).toBeInstanceOf(FerryError);
  return thrown as FerryError;
}

function codes(source: Source): string[] {
  return source.notes.list().map((note) => note.code);
}

describe.each(V2_FIXTURES)('the data dir of %s', (fixture) => {
  test('gives the tree the server had, from every .snap and from the WAL alone', async () => {
    using dir = new UnpackedDataDir(fixture);
    const first = await open(dir.path);
    const whole = await treeOf(first);
    await expectTruth(first, fixture);
    expect(first.info).toMatchObject({ kind: 'data-dir', api: 'v2', order: 'tree', location: 'the dir', estimatedRecords: whole.length });
    expect(first.notes.list().find(({ code }) => code === 'committed-entries')?.count).toBeGreaterThan(100);
    expect(codes(first)).not.toContain('uncommitted-entries');
    for (const snap of snaps(dir.path).reverse()) {
      rmSync(snap);
      const source = await open(dir.path);
      await expectTruth(source, fixture);
      expect(linesOf(await treeOf(source))).toEqual(linesOf(whole));
    }
    expect(snaps(dir.path)).toEqual([]);
  });

  test('is in tree order and has hidden nodes with what is below them', async () => {
    using dir = new UnpackedDataDir(fixture);
    const nodes = await treeOf(await open(dir.path));
    // With / before every other byte, tree order is byte order.
    const keys = nodes.map(({ path }) => Buffer.from(path.toString('latin1').replaceAll('/', '\0'), 'latin1'));
    keys.slice(1).forEach((key, i) => {
      expect((keys[i] as Buffer).compare(key)).toBe(-1);
    });
    const seen = new Set(['']);
    for (const { path } of nodes) {
      const text = path.toString('latin1');
      expect(seen).toContain(text.slice(0, text.lastIndexOf('/')));
      seen.add(text);
    }
    expect([...seen].filter((path) => path.startsWith('/app/_hidden/')).length).toBeGreaterThan(5);
  });

  test('changes nothing in the directory', async () => {
    using dir = new UnpackedDataDir(fixture);
    const state = (): string => execFileSync('find', [dir.path, '-printf', '%p %i %s %m %T@ %C@\n']).toString();
    const before = state();
    const source = await open(dir.path);
    await treeOf(source);
    await source.close();
    expect(state()).toBe(before);
  });
});

test('bytes that are not UTF-8 are kept from the WAL', async () => {
  using dir = new UnpackedDataDir('v238');
  const raw = (await treeOf(await open(dir.path))).find(({ path }) => path.toString() === '/raw');
  expect(raw?.value).toEqual(Buffer.from([0xff, 0xfe, 0, ...Buffer.from('binary')]));
});

test('prefixes and exclusions choose by the bytes of paths', async () => {
  using dir = new UnpackedDataDir('v238');
  const selection = { prefixes: [Buffer.from('/app/a')], excludePrefixes: [Buffer.from('/app/a/b')] };
  const all = (await treeOf(await open(dir.path))).map(({ path }) => path.toString());
  const some = (await treeOf(await open(dir.path, { selection }))).map(({ path }) => path.toString());
  expect(some.length).toBeGreaterThan(0);
  expect(some).toEqual(all.filter((path) => path.startsWith('/app/a') && !path.startsWith('/app/a/b')));
});

test('a data dir of 2.0 has no member/, and --wal-dir names a WAL elsewhere', async () => {
  using dir = new UnpackedDataDir('v238');
  await expectTruth(await open(join(dir.path, 'member')), 'v238');
  const walDir = join(dir.path, 'elsewhere');
  renameSync(join(dir.path, 'member/wal'), walDir);
  await expectTruth(await open(dir.path, { walDir }), 'v238');
  const error = await errorOf(open(dir.path));
  expect(error.code).toBe('not-found');
  expect(error.hint).toContain('--wal-dir');
});

test('what is no data dir, or one of etcd 0.4, is named so', async () => {
  using dir = new UnpackedDataDir('v238');
  expect((await errorOf(open(join(dir.path, 'nothing')))).code).toBe('not-found');
  mkdirSync(join(dir.path, 'old/snapshot'), { recursive: true });
  expect((await errorOf(open(join(dir.path, 'old')))).code).toBe('unknown-format');
});

test('a .snap with a bad CRC is passed over for the one before it, and reported', async () => {
  using dir = new UnpackedDataDir('v238');
  const newest = snaps(dir.path).at(-1) as string;
  const bytes = readFileSync(newest);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
  writeFileSync(newest, bytes);
  const source = await open(dir.path);
  await expectTruth(source, 'v238');
  expect(source.notes.list().find(({ code }) => code === 'snap-damaged')).toMatchObject({ count: 1, lossy: false });
  truncateSync(snaps(dir.path)[1] as string, 1000);
  const again = await open(dir.path);
  await expectTruth(again, 'v238');
  expect(again.notes.list().find(({ code }) => code === 'snap-damaged')?.count).toBe(2);
});

test('a WAL with a bad CRC in the middle is damaged', async () => {
  using dir = new UnpackedDataDir('v238');
  const wal = walOf(dir.path);
  const bytes = readFileSync(wal);
  bytes[200_000] = (bytes[200_000] as number) ^ 1;
  writeFileSync(wal, bytes);
  const error = await errorOf(open(dir.path));
  expect(error.code).toBe('damaged');
  expect(error.exit).toBe(12);
  expect(error.message).toContain(wal);
});

test('a WAL that ends within a record is read up to there, and that is reported', async () => {
  using dir = new UnpackedDataDir('v238');
  const wal = walOf(dir.path);
  truncateSync(wal, readFileSync(wal).length - 5);
  const source = await open(dir.path);
  expect(source.notes.list().find(({ code }) => code === 'wal-torn-tail')).toMatchObject({ count: 1, lossy: false });
  expect((await treeOf(source)).length).toBeGreaterThan(1500);
});

test('a missing WAL, or one that begins too late, is damaged', async () => {
  using dir = new UnpackedDataDir('v238');
  const wal = walOf(dir.path);
  renameSync(wal, wal.replace('0000000000000000.wal', '00000000000003ff.wal'));
  expect((await errorOf(open(dir.path))).code).toBe('damaged');
  rmSync(join(dir.path, 'member/wal'), { recursive: true });
  mkdirSync(join(dir.path, 'member/wal'));
  expect((await errorOf(open(dir.path))).code).toBe('damaged');
});

test('more memory than allowed is an error that names the flag', async () => {
  using dir = new UnpackedDataDir('v238');
  const error = await errorOf(open(dir.path, { maxMemory: 300_000 }));
  expect(error.code).toBe('failed');
  expect(error.hint).toContain('--max-memory');
});

test('an interruption ends the replay', async () => {
  using dir = new UnpackedDataDir('v238');
  const reason = new FerryError('interrupted', 'interrupted');
  expect(await errorOf(openDataDirV2(dir.path, OPTIONS, quietRun(AbortSignal.abort(reason))))).toBe(reason);
});
