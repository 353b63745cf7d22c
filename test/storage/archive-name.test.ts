import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkName, formatArchiveName, parseArchiveName } from '../../src/storage/archive-name.js';

const letters = [...'abcXYZ019'];
const names = fc
  .tuple(fc.constantFrom(...letters), fc.array(fc.constantFrom(...letters, '-', '.', '_'), { maxLength: 30 }))
  .map(([first, rest]) => first + rest.join(''));
const archiveNames = fc.record({
  name: fc.oneof(names, fc.constant('a-20261123T031500.123Z-r5'), fc.constant('x-r1.etcd.tar')),
  time: fc.integer({ min: 0, max: 253_402_300_799_999 }),
  revision: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  encrypted: fc.boolean(),
});

describe('names of archives', () => {
  test('are read as they were written, whatever stands in NAME', () => {
    fc.assert(
      fc.property(archiveNames, (name) => {
        expect(parseArchiveName(formatArchiveName(name))).toEqual(name);
      }),
    );
  });

  test('of one NAME sort by time', () => {
    fc.assert(
      fc.property(archiveNames, archiveNames, (a, b) => {
        const [x, y] = [formatArchiveName({ ...a, name: 'n' }), formatArchiveName({ ...b, name: 'n' })];
        if (a.time < b.time) expect(x < y).toBe(true);
      }),
    );
  });

  test('are looked up by people', () => {
    const time = Date.parse('2026-11-23T03:15:00.123Z');
    const file = 'prod-eu-20261123T031500.123Z-r4711.etcd.tar.age';
    expect(formatArchiveName({ name: 'prod-eu', time, revision: 4711n, encrypted: true })).toBe(file);
  });

  test.each([
    'etcd-20261123T031500.123Z-r1.tar',
    'etcd-20261123T031500.123Z-r01.etcd.tar',
    'etcd-20261123T031500Z-r1.etcd.tar',
    'etcd-20260230T031500.123Z-r1.etcd.tar',
    'etcd-20261123T251500.123Z-r1.etcd.tar',
    '-20261123T031500.123Z-r1.etcd.tar',
    '.etcd-20261123T031500.123Z-r1.etcd.tar',
    'etcd-20261123T031500.123Z-r1.etcd.tar.tmp',
    'x/etcd-20261123T031500.123Z-r1.etcd.tar',
  ])('are nothing like %s', (file) => expect(parseArchiveName(file)).toBeUndefined());

  test('any text is read as a name that is written the same, or as none', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), archiveNames.map(formatArchiveName), names), (file) => {
        const name = parseArchiveName(file);
        if (name !== undefined) expect(formatArchiveName(name)).toBe(file);
      }),
    );
  });

  test.each(['', '.', '-x', 'a/b', 'ü', 'a b', 'x'.repeat(101)])('"%s" cannot be a NAME', (name) => {
    expect(() => checkName(name)).toThrowError(expect.objectContaining({ code: 'usage' }));
  });
});
