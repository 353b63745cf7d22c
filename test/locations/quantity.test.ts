import { describe, expect, test } from 'vitest';
import { parseDuration, parseRevision, parseSize } from '../../src/locations/quantity.js';

describe('parseDuration', () => {
  test.each([
    ['5s', 5_000],
    ['1m30s', 90_000],
    ['250ms', 250],
    ['1.5h', 5_400_000],
    ['30d', 2_592_000_000],
  ])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text, '--x')).toBe(ms);
  });
  test.each(['', '5', 's', '5 s', '5x', '-5s', '5s!'])('refuses "%s"', (text) => {
    expect(() => parseDuration(text, '--x')).toThrow(expect.objectContaining({ code: 'usage', message: expect.stringContaining('--x') }));
  });
});

describe('parseSize', () => {
  test.each([
    ['1048576', 1_048_576],
    ['512K', 524_288],
    ['8M', 8_388_608],
    ['1.5MiB', 1_572_864],
    ['2gb', 2_147_483_648],
  ])('%s is %d bytes', (text, size) => {
    expect(parseSize(text, '--x')).toBe(size);
  });
  test.each(['', 'M', '-1', '1X', '1 2', '0', '0.1'])('refuses "%s"', (text) => {
    expect(() => parseSize(text, '--x')).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

describe('parseRevision', () => {
  test('keeps every digit', () => {
    expect(parseRevision('9007199254740993', '--revision')).toBe(9007199254740993n);
  });
  test.each(['0', '-1', '1.5', '9223372036854775808', 'x', ''])('refuses "%s"', (text) => {
    expect(() => parseRevision(text, '--revision')).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});
