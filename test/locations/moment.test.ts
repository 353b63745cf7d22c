import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseMoment } from '../../src/locations/moment.js';

test.each([
  ['2026-11-23T03:15:00.123Z', '2026-11-23T03:15:00.123Z'],
  ['20261123T031500.123Z', '2026-11-23T03:15:00.123Z'],
  ['2026-11-23T03:15:00Z', '2026-11-23T03:15:00.999Z'],
  ['2026-11-23T03:15Z', '2026-11-23T03:15:59.999Z'],
  ['2026-11-23 03:15', '2026-11-23T03:15:59.999Z'],
  ['2026-11-23T03:15+01:00', '2026-11-23T02:15:59.999Z'],
  ['2026-11-23T03:15:01-0230', '2026-11-23T05:45:01.999Z'],
  ['2026-11-23', '2026-11-23T23:59:59.999Z'],
  ['2024-02-29', '2024-02-29T23:59:59.999Z'],
])('%s', (text, expected) => {
  expect(new Date(parseMoment(text, '--at')).toISOString()).toBe(expected);
});

test.each(['', 'yesterday', '2026', '2026-02-30', '2026-13-01', '2026-11-23T25:00', '2026-11-23T03:15:00Zulu'])('refuses "%s"', (text) => {
  expect(() => parseMoment(text, '--at')).toThrow(expect.objectContaining({ code: 'usage' }));
});

test('any time is read as JavaScript writes it', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 253_402_300_799_999 }), (at) => {
      expect(parseMoment(new Date(at).toISOString(), '--at')).toBe(at);
    }),
  );
});
