import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PermissionTree } from '../../src/replay/permission-tree.js';
import { type KeyRange, rangeOf } from '../../src/wire/raft-v3.js';

const [a, b, c, open] = ['a', 'b', 'c', ''].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer, Buffer];

function treeOf(...ranges: readonly KeyRange[]): PermissionTree {
  const tree = new PermissionTree();
  for (const range of ranges) tree.add(range);
  return tree;
}

test('permissions that touch permit what none of them permits alone', () => {
  const touching = treeOf({ key: b, end: c }, { key: a, end: b });
  expect(touching.permits({ key: a, end: c })).toBe(true);
  expect(touching.permits({ key: a, end: Buffer.from('c\0') })).toBe(false);
  expect(touching.permits({ key: a, end: open })).toBe(false);
  touching.add({ key: c, end: open });
  expect(touching.permits({ key: a, end: open })).toBe(true);
  const withKey = treeOf({ key: a, end: undefined }, { key: Buffer.from('a\0'), end: c });
  expect(withKey.permits({ key: a, end: b })).toBe(true);
});

test("permissions answer as etcd's own interval tree does, of ranges that end before they begin too", () => {
  const lines = readFileSync(join(import.meta.dirname, '../../testdata/etcd-v3/permission-intervals.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  const range = ([key = '', end = '']: readonly string[]): KeyRange => rangeOf(Buffer.from(key), Buffer.from(end));
  expect(lines.length).toBeGreaterThan(100);
  for (const line of lines) {
    const [granted, asked, answers] = JSON.parse(line) as [string[][] | null, string[][], string];
    const tree = treeOf(...(granted ?? []).map(range));
    expect([line, asked.map((one) => (tree.permits(range(one)) ? 'y' : 'n')).join('')]).toEqual([line, answers]);
  }
});
