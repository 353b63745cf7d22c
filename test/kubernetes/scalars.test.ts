import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../src/kubernetes/codec/duration.js';
import { isJson } from '../../src/kubernetes/codec/json-check.js';
import { JsonOutput } from '../../src/kubernetes/codec/json-output.js';
import { parseJsonTree } from '../../src/kubernetes/codec/json-tree.js';
import { canonicalQuantity } from '../../src/kubernetes/codec/quantity.js';
import { formatTime, parseTime } from '../../src/kubernetes/codec/time.js';

describe('Quantity', () => {
  // apimachinery pkg/api/resource/quantity_test.go: TestQuantityString, TestQuantityParseEmit, TestQuantityParse.
  test.each([
    ['1024Mi', '1Gi'],
    ['307200Ki', '300Mi'],
    ['1025024Mi', '1001Gi'],
    ['5000m', '5'],
    ['0.5', '500m'],
    ['1000M', '1G'],
    ['0.001T', '1G'],
    ['1000u', '1m'],
    ['1.08', '1080m'],
    ['1080000000n', '1080m'],
    ['.001e12', '1e9'],
    ['1000e-12', '1e-9'],
    ['00', '0'],
    ['.001Ki', '1024m'],
    ['.000001Ki', '1024u'],
    ['.000000000001Ki', '2n'],
    ['-.001Ki', '-1024m'],
    ['1234567M', '1234567M'],
    ['1001Gi', '1001Gi'],
    ['0.5Gi', '512Mi'],
    ['1.500', '1.500'],
    ['0.500', '500m'],
    ['9Ei', '9223372036854775807'],
  ])('%s is written as %s', (given, wanted) => {
    expect(canonicalQuantity(given)).toBe(wanted);
  });

  test.each(['', '.', '-', 'x', '1x', '1.2.3', '1 Gi', '1gi'])('%j is none', (given) => {
    expect(canonicalQuantity(given)).toBeUndefined();
  });

  test('what was written is written the same again', () => {
    const suffix = fc.constantFrom('', 'n', 'u', 'm', 'k', 'M', 'G', 'T', 'P', 'E', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei', 'e3', 'e-3');
    fc.assert(
      fc.property(fc.nat(), fc.nat({ max: 999 }), suffix, (whole, fraction, unit) => {
        const once = canonicalQuantity(`${whole}.${fraction}${unit}`) as string;
        expect(canonicalQuantity(once)).toBe(once);
      }),
    );
  });
});

describe('Duration', () => {
  test.each([
    [0n, '0s'],
    [1n, '1ns'],
    [1100n, '1.1µs'],
    [2_200_000n, '2.2ms'],
    [3_300_000_000n, '3.3s'],
    [245_000_000_000n, '4m5s'],
    [18_367_001_000_000n, '5h6m7.001s'],
    [-(2n ** 63n), '-2562047h47m16.854775808s'],
  ])('%s is %s', (nanos, text) => {
    expect(formatDuration(nanos)).toBe(text);
    expect(parseDuration(text)).toBe(nanos);
  });

  test('every one comes back', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (nanos) => parseDuration(formatDuration(nanos)) === nanos),
    );
  });
});

describe('Time', () => {
  test('every second comes back, and is what Date makes of it', () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_799, max: 253_402_300_799 }), (seconds) => {
        const text = formatTime(seconds);
        expect(text).toBe(new Date(seconds * 1000).toISOString().replace('.000Z', 'Z'));
        expect(parseTime(text)).toEqual({ seconds, nanos: 0 });
      }),
    );
  });

  test('zones and fractions are read', () => {
    expect(parseTime('2026-11-22T22:59:27.5+01:00')).toEqual({ seconds: 1795384767, nanos: 500_000_000 });
    expect(parseTime('2026-02-30T00:00:00Z')).toBeUndefined();
    expect(formatTime(0, 42)).toBe('1970-01-01T00:00:00.000042Z');
  });
});

describe('JSON', () => {
  test('what JSON.parse takes is JSON, and nothing else', () => {
    const pieces = fc.array(
      fc.constantFrom(
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"a"',
        '"\\n"',
        '"\\u12aF"',
        '"\\x"',
        '1',
        '-0.5e+3',
        '01',
        '1.',
        'true',
        'null',
        'nul',
        ' ',
        '\n',
      ),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          pieces.map((list) => list.join('')),
          fc.json(),
        ),
        (text) => {
          const bytes = Buffer.from(text);
          let wanted = true;
          try {
            JSON.parse(text);
          } catch {
            wanted = false;
          }
          expect(isJson(bytes, 0, bytes.length)).toBe(wanted);
          if (wanted) expect(parseJsonTree(text).kind).toBeDefined();
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('a string is escaped as Go escapes it', () => {
    const out = new JsonOutput();
    const bytes = Buffer.concat([
      Buffer.from('a"\\/<>&\n\r\t\b\f\u0001\u007f\u2028\u2029é☃🚢'),
      Buffer.from([0xff, 0xc0, 0xaf, 0xed, 0xa0, 0x80]),
    ]);
    out.string(bytes, 0, bytes.length);
    expect(out.take().toString()).toBe(
      '"a\\"\\\\/\\u003c\\u003e\\u0026\\n\\r\\t\\b\\f\\u0001\u007f\\u2028\\u2029é☃🚢\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd"',
    );
  });
});
