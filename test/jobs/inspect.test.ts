import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packArchive } from '../../src/archive/pack.js';
import { quietRun } from '../../src/model/run.js';
import type { Source } from '../../src/model/source.js';
import { cutInto, kv, memoryRecords, memorySink } from '../archive/memory.js';
import { etcdferryInside, jsonOf } from '../support/cli.js';
import { temporaryDirectory } from '../support/temp.js';
import { dir, file, treeOf } from '../support/tree.js';

const directory = temporaryDirectory();

async function prefixesOf(source: Source, depth: number): Promise<Record<string, number>> {
  const sink = memorySink();
  await packArchive(source, sink, { compress: 'gzip', toolVersion: '0.1.0' }, quietRun());
  const path = join(directory, 'a.tar');
  writeFileSync(path, sink.bytes());
  const { prefixes } = jsonOf(await etcdferryInside(['inspect', path, '--json', '--depth', String(depth)])) as {
    prefixes: { prefix: string; records: number }[];
  };
  return Object.fromEntries(prefixes.map(({ prefix, records }) => [prefix, records]));
}

test('a key no deeper than the prefixes counts in what it lies in', async () => {
  const shallow = Array.from({ length: 1000 }, (_, i) => `/shallow/${1000 + i}`);
  const keys = ['/', '/a', '/a/', '/a/b', '/a/b/c', '/a/b/c/d', '/b', ...shallow, 'flat', 'other', 'x/y', 'x/y/z'];
  const source = memoryRecords({
    batches: cutInto(
      keys.map((key) => kv(key, 'v')),
      100,
    ),
  });
  expect(await prefixesOf(source, 2)).toEqual({ '/shallow/': 1000, '/a/b/': 2, '/a/': 2, '/': 3, 'x/y/': 1, 'x/': 1, '': 2 });
  expect(await prefixesOf(source, 1)).toEqual({ '/shallow/': 1000, '/a/': 4, '/': 3, 'x/': 2, '': 2 });
});

test('a directory counts in itself', async () => {
  const source = treeOf(dir('/a'), dir('/a/b'), file('/a/b/c'), dir('/a/b/d'), file('/a/f'), file('/g'));
  expect(await prefixesOf(source, 2)).toEqual({ '/a/b/': 3, '/a/': 2, '/': 1 });
});
