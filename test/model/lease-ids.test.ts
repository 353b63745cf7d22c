import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LeaseIds } from '../../src/model/lease-ids.js';
import { int64 } from '../support/arbitrary.js';

test('knows the ids that were added in order, and no others', () => {
  fc.assert(
    fc.property(fc.uniqueArray(int64, { maxLength: 200 }), fc.array(int64, { maxLength: 20 }), (ids, others) => {
      const known = new LeaseIds();
      for (const id of [...ids].sort((a, b) => (a < b ? -1 : 1))) known.add(id);
      for (const id of ids) expect(known.has(id)).toBe(true);
      for (const id of others) expect(known.has(id)).toBe(ids.includes(id));
    }),
  );
});

test('knows as many as there are', () => {
  const known = new LeaseIds();
  for (let id = 0n; id < 5_000n; id++) known.add(3n * id);
  expect([0n, 2_997n, 2_998n, 14_997n, 15_000n].map((id) => known.has(id))).toEqual([true, true, false, true, false]);
});
