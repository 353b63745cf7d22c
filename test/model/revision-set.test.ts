import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RevisionSet } from '../../src/model/revision-set.js';

test('holds what was added and nothing else, in as few runs as can be', () => {
  const range = fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 5 }));
  fc.assert(
    fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
      const set = new RevisionSet();
      const model = new Set<number>();
      for (const [first, more] of ranges) {
        set.add(BigInt(first), BigInt(first + more));
        for (let i = first; i <= first + more; i++) model.add(i);
      }
      for (let i = 0; i < 70; i++) expect(set.has(BigInt(i))).toBe(model.has(i));
      expect(set.last).toBe(BigInt(Math.max(0, ...model)));
      expect(set.isEmpty).toBe(model.size === 0);
      const runs = [...model].filter((i) => !model.has(i - 1)).length;
      expect(set.ranges()).toHaveLength(runs);
      for (const [i, [first]] of set.ranges().entries())
        if (i > 0) expect(first).toBeGreaterThan((set.ranges()[i - 1]?.[1] as bigint) + 1n);
    }),
  );
});

test('the revisions of a writer that is alone are one run', () => {
  const set = new RevisionSet();
  for (let i = 10n; i < 10_000n; i++) set.add(i);
  expect(set.ranges()).toEqual([[10n, 9_999n]]);
});
