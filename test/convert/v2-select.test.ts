import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import { secondOfLease } from '../../src/convert/v2-expiration.js';
import { mapNodes } from '../../src/convert/v2-map.js';
import { selectNodes, selectWithEnds } from '../../src/convert/v2-select.js';
import { convertTree } from '../../src/convert/v2-to-v3.js';
import { recordAt } from '../../src/model/batch.js';
import type { TreeNode } from '../../src/model/node.js';
import { quietRun } from '../../src/model/run.js';
import type { KeySelection, Source } from '../../src/model/source.js';
import { delegate } from '../../src/model/source.js';
import { compareTreePaths, isUnder } from '../../src/model/tree-path.js';
import { isSelected } from '../../src/selection/select.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { dir, file, type MadeNode, treeOf } from '../support/tree.js';
import { nodesOf } from '../support/v2.js';

const SECOND = 1_000_000_000n;
const NOW = 1_700_000_000_000;
const at = (seconds: number): bigint => BigInt(NOW / 1000 + seconds) * SECOND;

const name = fc.constantFrom('a', 'b', 'a-', '_h');
const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`);
const end = fc.oneof({ weight: 2, arbitrary: fc.constant(0n) }, fc.integer({ min: 10, max: 99 }).map(at));

/** A tree in which any directory and any file may expire. */
const tree: fc.Arbitrary<MadeNode[]> = fc
  .dictionary(path, fc.record({ isDir: fc.boolean(), ends: end }), { minKeys: 1, maxKeys: 12 })
  .chain((made) => fc.func(end).map((endOf) => ({ made, endOf })))
  .map(({ made, endOf }) => {
    const nodes = new Map<string, MadeNode>();
    for (const [each, { isDir, ends }] of Object.entries(made)) {
      for (let slash = each.indexOf('/', 1); slash !== -1; slash = each.indexOf('/', slash + 1)) {
        const above = each.slice(0, slash);
        nodes.set(above, dir(above, endOf(above)));
      }
      if (!nodes.has(each)) nodes.set(each, isDir ? dir(each, ends) : file(each, each, ends));
    }
    return [...nodes.values()].sort((a, b) => compareTreePaths(Buffer.from(a.path as string), Buffer.from(b.path as string)));
  });

const prefix = fc.tuple(path, fc.constantFrom('', '/')).map(([text, slash]) => Buffer.from(text + slash));
const selection: fc.Arbitrary<KeySelection> = fc.record({
  prefixes: fc.array(prefix, { maxLength: 2 }),
  excludePrefixes: fc.array(prefix, { maxLength: 1 }),
});

/** When a node ends, by itself or with a directory above it: 0n for never. */
function endOf(all: readonly { path: string | Buffer; expiration?: bigint }[], wanted: Buffer): bigint {
  const ends = all
    .filter((node) => wanted.equals(Buffer.from(node.path as string)) || isUnder(wanted, Buffer.from(node.path as string)))
    .map(({ expiration = 0n }) => expiration)
    .filter((expiration) => expiration !== 0n);
  return ends.length === 0 ? 0n : ends.reduce((a, b) => (a < b ? a : b));
}

/** The tree as a source that was taken with a selection gives it. */
function taken(nodes: MadeNode[], wanted: KeySelection): Source {
  const whole = treeOf(...nodes);
  return { ...delegate(whole), info: { ...whole.info, selection: wanted }, records: () => selectNodes(whole.records(), wanted) };
}

const textOf = (nodes: readonly TreeNode[]): string[] => nodes.map(({ path: each }) => each.toString());

describe('a part of a tree whose directories expire', () => {
  test('becomes keys that end when the nodes would have, under any selection and name', async () => {
    await fc.assert(
      fc.asyncProperty(tree, selection, selection, fc.boolean(), async (nodes, first, second, renames) => {
        const mapping = parseKeyMapping(renames ? { map: ['/a/=/c/', '/b=/a/d'], addPrefix: '/p' } : {});
        const converted = await convertTree(taken(nodes, first), { selection: second, mapping, now: () => NOW });
        const keys = new Map<string, bigint | undefined>();
        for await (const batch of converted.records()) {
          for (let i = 0; i < batch.count; i++) {
            const { key, value, lease } = decodeKeyValue(recordAt(batch, i));
            expect(key.equals(mapping.mapKey(value))).toBe(true);
            keys.set(value.toString(), secondOfLease(lease));
          }
        }
        const chosen = nodes.filter(({ dir: isDir, path: each }) => {
          const bytes = Buffer.from(each as string);
          return isDir !== true && isSelected(bytes, first) && isSelected(bytes, second);
        });
        expect([...keys.keys()]).toEqual(chosen.map(({ path: each }) => each));
        for (const [key, seconds] of keys) expect((seconds ?? 0n) * SECOND).toBe(endOf(nodes, Buffer.from(key)));
      }),
    );
  });

  test('is written by no node that was not chosen, and none of them lives longer', async () => {
    await fc.assert(
      fc.asyncProperty(tree, selection, fc.boolean(), async (nodes, wanted, renames) => {
        const mapping = parseKeyMapping(renames ? { addPrefix: '/p' } : {});
        const source = taken(nodes, wanted);
        const written = await nodesOf(mapNodes(selectWithEnds(source.records(), wanted), mapping, '/tmp', quietRun()));
        const chosen = nodes.map(({ path: each }) => Buffer.from(each as string)).filter((each) => isSelected(each, wanted));
        expect(textOf(written)).toEqual(chosen.map((each) => mapping.mapKey(each).toString()));
        for (const each of chosen) expect(endOf(written, mapping.mapKey(each)), each.toString()).toBe(endOf(nodes, each));
      }),
    );
  });

  test('takes along only directories that expire and have something chosen under them', async () => {
    await fc.assert(
      fc.asyncProperty(tree, selection, async (nodes, wanted) => {
        const got = await nodesOf(taken(nodes, wanted).records());
        const all = nodes.map((node) => ({ ...node, path: Buffer.from(node.path as string) }));
        const chosen = all.filter((node) => isSelected(node.path, wanted));
        const expected = all.filter(
          (node) =>
            isSelected(node.path, wanted) ||
            (node.dir === true && node.expiration !== 0n && chosen.some((each) => isUnder(each.path, node.path))),
        );
        expect(textOf(got)).toEqual(expected.map((node) => node.path.toString()));
      }),
    );
  });
});
