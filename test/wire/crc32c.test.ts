import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32c } from '../../src/wire/crc32c.js';
import { bytes } from '../support/arbitrary.js';

/** Bit by bit, straight from the definition. */
function slowCrc32c(input: Uint8Array): number {
  let c = 0xffffffff;
  for (const byte of input) {
    c ^= byte;
    for (let bit = 0; bit < 8; bit++) c = (c >>> 1) ^ (c & 1 ? 0x82f63b78 : 0);
  }
  return ~c >>> 0;
}

test('gives the values of RFC 3720, appendix B.4', () => {
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a9136aa);
  expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62a8ab43);
  expect(crc32c(Buffer.from(Array.from({ length: 32 }, (_, i) => i)))).toBe(0x46dd794e);
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  expect(crc32c(Buffer.alloc(0))).toBe(0);
});

test('equals the definition, in one piece and in two', () => {
  fc.assert(
    fc.property(bytes({ maxLength: 100 }), fc.nat(100), (input, at) => {
      const cut = Math.min(at, input.length);
      expect(crc32c(input)).toBe(slowCrc32c(input));
      expect(crc32c(input.subarray(cut), crc32c(input.subarray(0, cut)))).toBe(slowCrc32c(input));
    }),
  );
});
