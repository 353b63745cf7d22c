import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatBytes, formatCount, formatDuration } from '../../src/cli/format.js';
import { bytesField, hexId, toJson } from '../../src/cli/json.js';
import { formatKey } from '../../src/convert/key-text.js';
import { bytes, int64 } from '../support/arbitrary.js';

describe('toJson', () => {
  test('writes every integer as a number with all its digits', () => {
    fc.assert(
      fc.property(int64, (n) => {
        expect(toJson({ n })).toBe(`{"n":${n}}`);
      }),
    );
  });
  test('leaves text that looks like its own marker alone', () => {
    expect(toJson({ text: 'bigint:12' })).toBe('{"text":"bigint:12"}');
  });
});

test('bytes are text where they are UTF-8, else base64', () => {
  expect(bytesField('key', Buffer.from('grüß'))).toEqual({ key: 'grüß' });
  expect(bytesField('key', Buffer.from([0xff, 0]))).toEqual({ keyBase64: '/wA=' });
});

test('ids are lower-case hex, negative ones too', () => {
  expect(hexId(0xabcn)).toBe('abc');
  expect(hexId(-1n)).toBe('ffffffffffffffff');
});

describe('formatKey', () => {
  test('is one line of printable text for any bytes, and different for different ones', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 20 }), bytes({ maxLength: 20 }), (a, b) => {
        expect(formatKey(a)).not.toMatch(/\p{Cc}/u);
        if (!a.equals(b)) expect(formatKey(a)).not.toBe(formatKey(b));
      }),
    );
  });
  test('leaves printable UTF-8 as it is', () => {
    expect(formatKey(Buffer.from('/registry/grüß'))).toBe('/registry/grüß');
    expect(formatKey(Buffer.from([0x2f, 0xff, 0x0a, 0x5c]))).toBe('/\\xff\\x0a\\x5c');
  });
});

test('sizes, counts and durations read well', () => {
  expect([formatBytes(0), formatBytes(1023), formatBytes(207.36), formatBytes(1024), formatBytes(96_468_992)]).toEqual([
    '0 B',
    '1023 B',
    '207 B',
    '1.0 KiB',
    '92.0 MiB',
  ]);
  expect([formatCount(0), formatCount(1234567), formatCount(-1000n)]).toEqual(['0', '1,234,567', '-1,000']);
  expect([formatDuration(12.4), formatDuration(1234), formatDuration(245_000)]).toEqual(['12 ms', '1.2 s', '4 min 05 s']);
});
