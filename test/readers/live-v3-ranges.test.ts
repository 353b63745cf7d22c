import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareEnds, rangesOf } from '../../src/readers/live-v3-ranges.js';

const short = fc.array(fc.constantFrom(0, 1, 0x61, 0xff), { maxLength: 3 }).map((key) => Buffer.from(key));
const key = fc.array(fc.constantFrom(0, 1, 0x61, 0xff), { minLength: 1, maxLength: 4 }).map((k) => Buffer.from(k));
const startsWith = (whole: Buffer, prefix: Buffer): boolean => whole.subarray(0, prefix.length).equals(prefix);

describe('ranges of a selection', () => {
  test('hold exactly the keys selected, are disjoint and in order', () => {
    fc.assert(
      fc.property(
        fc.array(short, { maxLength: 4 }),
        fc.array(short, { maxLength: 4 }),
        fc.array(key),
        (prefixes, excludePrefixes, keys) => {
          const ranges = rangesOf({ prefixes, excludePrefixes });
          ranges.forEach(({ start, end }, i) => {
            expect(compareEnds(start, end)).toBeLessThan(0);
            const next = ranges[i + 1];
            if (next !== undefined) expect(compareEnds(end, next.start)).toBeLessThanOrEqual(0);
          });
          for (const k of keys) {
            const wanted =
              (prefixes.length === 0 || prefixes.some((p) => startsWith(k, p))) && !excludePrefixes.some((p) => startsWith(k, p));
            const held = ranges.filter(({ start, end }) => Buffer.compare(start, k) <= 0 && compareEnds(k, end) < 0).length;
            expect(held).toBe(wanted ? 1 : 0);
          }
        },
      ),
    );
  });
});
