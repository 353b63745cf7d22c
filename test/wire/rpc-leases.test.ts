import fc from 'fast-check';
import { expect, test } from 'vitest';
import { batchOf } from '../../src/model/batch.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { leasesIn } from '../../src/wire/rpc-leases.js';
import { bytes, keyValue } from '../support/arbitrary.js';

test('the leases of a batch are those of its records, none left out', () => {
  const record = fc.record({
    kv: keyValue,
    leased: fc.boolean(),
    value: fc.oneof(bytes({ maxLength: 10 }), bytes({ minLength: 120, maxLength: 300 })),
  });
  fc.assert(
    fc.property(fc.array(record), (records) => {
      const kvs = records.map(({ kv, leased, value }) => ({ ...kv, value, lease: leased ? kv.lease : 0n }));
      const wanted = kvs.map(({ lease }) => lease).filter((lease) => lease !== 0n);
      expect([...leasesIn(batchOf(kvs.map(encodeKeyValue)))]).toEqual(wanted);
    }),
  );
});

test('unusual records are looked at properly: unknown fields, tags of two bytes', () => {
  const lease = Buffer.from([0x30, 7]);
  for (const before of [Buffer.from([0x3d, 1, 2, 3, 4]), Buffer.from([0x39, 1, 2, 3, 4, 5, 6, 7, 8]), Buffer.from([0x82, 0x04, 1, 0])]) {
    expect([...leasesIn(batchOf([Buffer.concat([before, lease])]))]).toEqual([7n]);
  }
});
