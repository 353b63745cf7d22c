import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { changeBetween, FingerprintTaker, type TreeFingerprint } from '../../src/convert/v2-fingerprint.js';
import { convertTree } from '../../src/convert/v2-to-v3.js';
import { bytes } from '../support/arbitrary.js';
import { dir, file, type MadeNode, treeOf } from '../support/tree.js';

const SECOND = 1_000_000_000n;
const NOW = 1_700_000_000_000;
const at = (s: number): bigint => (BigInt(NOW) / 1000n + BigInt(s)) * SECOND;

type Entry = readonly [key: Buffer, value: Buffer, expiration: bigint];

function taken(entries: readonly Entry[], directories: readonly Buffer[] = []): TreeFingerprint {
  const taker = new FingerprintTaker();
  for (const [key, value, expiration] of entries) taker.key(key, value, expiration);
  for (const path of directories) taker.emptyDirectory(path);
  return taker.taken();
}

const entry: fc.Arbitrary<Entry> = fc.tuple(
  bytes({ maxLength: 4 }),
  bytes({ maxLength: 4 }),
  fc.constantFrom(0n, at(100), at(101), at(900)),
);
const entries = fc.uniqueArray(entry, { selector: ([key]) => key.toString('hex'), maxLength: 8 });

test('is the same in whichever order a tree comes', () => {
  fc.assert(
    fc.property(entries, entries, (some, directories) => {
      const paths = directories.map(([path]) => path);
      const there = taken(some, paths);
      expect(changeBetween(there, taken([...some].reverse(), [...paths].reverse()), NOW)).toBeUndefined();
    }),
  );
});

test('is another when anything is: a key, its value, where one ends and the other begins, when it expires', () => {
  fc.assert(
    fc.property(entries, entries, (a, b) => {
      const text = (all: readonly Entry[]): string[] => all.map(([k, v, e]) => `${k.toString('hex')} ${v.toString('hex')} ${e}`).sort();
      const same = JSON.stringify(text(a)) === JSON.stringify(text(b));
      expect(changeBetween(taken(a), taken(b), NOW) === undefined).toBe(same);
    }),
  );
  const [ab, c] = [Buffer.from('ab'), Buffer.from('c')];
  expect(changeBetween(taken([[ab, c, 0n]]), taken([[Buffer.from('a'), Buffer.from('bc'), 0n]]), NOW)).toBe(
    'keys without a TTL are 1 as then, but not the same ones',
  );
  expect(changeBetween(taken([[ab, c, at(100)]]), taken([[ab, c, at(101)]]), NOW)).toContain('keys with a TTL');
});

describe('of a tree', () => {
  const of = async (nodes: MadeNode[], now = NOW): Promise<TreeFingerprint> => {
    const fingerprint = new FingerprintTaker();
    await convertTree(treeOf(...nodes), { fingerprint, now: () => now });
    return fingerprint.taken();
  };
  const nodes = [file('/a', 'one'), dir('/e'), file('/s', 'v', at(10)), file('/t', 'v', at(100))];

  test('stays when nothing but time has passed', async () => {
    const planned = await of(nodes);
    const later = NOW + 30_000;
    expect(changeBetween(planned, await of(nodes, later), later)).toBeUndefined();
    expect(
      changeBetween(
        planned,
        await of(
          nodes.filter(({ path }) => path !== '/s'),
          later,
        ),
        later,
      ),
    ).toBeUndefined();
  });

  test('changes with what would be written or left out', async () => {
    const planned = await of(nodes);
    const changed = async (...more: MadeNode[]): Promise<string | undefined> => changeBetween(planned, await of(more), NOW);
    expect(await changed(...nodes.slice(0, 3))).toBe('keys with a TTL were 2 then and are 1 now');
    expect(await changed(...nodes.slice(1))).toBe('keys without a TTL were 1 then and are 0 now');
    expect(await changed(nodes[0] as MadeNode, ...nodes.slice(2))).toBe('empty directories were 1 then and are 0 now');
  });
});
