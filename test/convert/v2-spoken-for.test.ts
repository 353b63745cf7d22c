import { expect, test } from 'vitest';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import { type SpeakingOptions, spokenFor } from '../../src/convert/v2-spoken-for.js';
import type { KeySelection, ObjectSelection, Source, SourceInfo } from '../../src/model/source.js';
import { treeOf } from '../support/tree.js';

const under = (prefix: string, ...excluded: string[]): KeySelection => ({
  prefixes: prefix === '' ? [] : [Buffer.from(prefix)],
  excludePrefixes: excluded.map((text) => Buffer.from(text)),
});
const KINDS: ObjectSelection = { kinds: ['Secret'], excludeKinds: [], namespaces: [], names: [], etcdPrefixes: [] };
const NAMES = ['/a/x', '/a/y', '/d/k', '/d/k/', '/_h/k', '/_h/_m/k', '/a/_h'];
const PLAIN = ['/a/x', '/a/y', '/d/k'];

function told(info: Partial<SourceInfo>, options: SpeakingOptions = {}, names = NAMES, more: Partial<Source> = {}): string[] {
  const tree = treeOf();
  const source = { ...tree, ...more, info: { ...tree.info, isSelectionKnown: true, ...info } };
  const speaksFor = spokenFor(source, options);
  return names.filter((name) => speaksFor(Buffer.from(name)));
}

test.each<[string, Partial<SourceInfo>, SpeakingOptions, string[]]>([
  ['of everything but hidden nodes', {}, {}, PLAIN],
  ['of a data dir', { hiddenTold: 'all' }, {}, NAMES.filter((name) => name !== '/d/k/')],
  ['of a data dir, hidden nodes dropped', { hiddenTold: 'all' }, { hidden: 'drop' }, PLAIN],
  ['of a hidden node by name', { hiddenTold: [Buffer.from('/_h')] }, {}, [...PLAIN, '/_h/k']],
  ['of a hidden node that was found to be gone', {}, { hiddenMissing: [Buffer.from('/_h')] }, [...PLAIN, '/_h/k']],
  ['of a prefix', { selection: under('/d/') }, {}, ['/d/k']],
  ['of everything, a prefix asked for', {}, { selection: under('/a/') }, ['/a/x', '/a/y']],
  ['with an exclusion', { selection: under('', '/a/x') }, {}, ['/a/y', '/d/k']],
  ['with markers', {}, { emptyDirs: 'marker' }, [...PLAIN, '/d/k/']],
  ['of what is under a directory, with markers', { selection: under('/d/k/') }, { emptyDirs: 'marker' }, []],
  ['of nobody knows what', { isSelectionKnown: false }, {}, []],
  ['of chosen kinds', { objects: [KINDS] }, {}, []],
])('a tree %s speaks for no other key', (_, info, options, names) => {
  expect(told(info, options).sort()).toEqual([...names].sort());
});

test('kinds that the request itself chose are the same in every run', () => {
  const seen = { selection: KINDS } as unknown as NonNullable<Source['objectsSeen']>;
  expect(told({ objects: [KINDS] }, {}, NAMES, { objectsSeen: seen })).toEqual(PLAIN);
  expect(told({ objects: [{ ...KINDS }, KINDS] }, {}, NAMES, { objectsSeen: seen })).toEqual([]);
});

test('a renamed key is told of only if every path that could have become it is', () => {
  const mapping = parseKeyMapping({ map: ['/a/=/b/', '/_h/=/h/'], addPrefix: '/new' });
  const names = ['/new/b/x', '/new/d/k', '/new/a/x', '/new/h/k', '/d/k'];
  expect(told({}, { mapping }, names)).toEqual(['/new/b/x', '/new/d/k']);
  expect(told({ hiddenTold: 'all' }, { mapping }, names)).toEqual(['/new/b/x', '/new/d/k', '/new/h/k']);
  expect(told({ selection: under('/b/') }, { mapping }, names)).toEqual([]);
  expect(told({ selection: under('/b/') }, { mapping, selection: under('/b/') }, names)).toEqual(['/new/b/x']);
});
