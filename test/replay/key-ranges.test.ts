import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KeyRanges } from '../../src/replay/key-ranges.js';
import type { KeyRange } from '../../src/wire/raft-v3.js';

const key = fc.array(fc.constantFrom(0, 1, 255), { maxLength: 2 }).map((bytes) => Buffer.from(bytes));
const range: fc.Arbitrary<KeyRange> = fc.record({ key, end: fc.option(key, { nil: undefined }) });

/** Every key of up to three of the bytes used here. */
const all = [0, 1, 2, 3].flatMap((length) =>
  Array.from({ length: 3 ** length }, (_, n) =>
    Buffer.from(Array.from({ length }, (_, i) => [0, 1, 255][Math.floor(n / 3 ** i) % 3] as number)),
  ),
);

function holds({ key: from, end }: KeyRange, one: Buffer): boolean {
  if (end === undefined) return one.equals(from);
  return from.compare(one) <= 0 && (end.length === 0 || one.compare(end) < 0);
}

test('a key is in the set when it is in one of its ranges', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 5 }), (ranges) => {
      const set = new KeyRanges();
      for (const one of ranges) set.add(one);
      for (const one of all) expect(set.has(one.toString('latin1'))).toBe(ranges.some((r) => holds(r, one)));
    }),
  );
});
