import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FerryError } from '../../src/errors.js';
import { type CalendarSpan, formatSpan, isEmptySpan, parseSpan, spanBefore } from '../../src/storage/calendar-span.js';

const NOTHING: CalendarSpan = { years: 0, months: 0, days: 0, hours: 0 };
const count = fc.integer({ min: 0, max: 999_999 });

describe('a span of the calendar', () => {
  it.each<[string, Partial<CalendarSpan>]>([
    ['30d', { days: 30 }],
    ['1y5m7d2h', { years: 1, months: 5, days: 7, hours: 2 }],
    ['2h1y', { years: 1, hours: 2 }],
    ['0d', {}],
  ])('reads %s', (text, span) => {
    expect(parseSpan(text, '--keep-within')).toEqual({ ...NOTHING, ...span });
  });

  it.each(['', '30', 'd', '1w', '1d1d', '-1d', '1.5d', '1d ', '1d, 2h', '1234567d'])('refuses "%s"', (text) => {
    expect(() => parseSpan(text, '--keep-within')).toThrow(
      expect.objectContaining({ code: 'usage', message: expect.stringContaining(text) }) as FerryError,
    );
  });

  it('is written as it is read', () => {
    const spans = fc.record({ years: count, months: count, days: count, hours: count });
    fc.assert(
      fc.property(spans, (span) => {
        if (isEmptySpan(span)) expect(formatSpan(span)).toBe('');
        else expect(parseSpan(formatSpan(span), '--keep-within')).toEqual(span);
      }),
    );
  });

  // As Go's Time.AddDate(-years, -months, -days) and then Add(-hours) have it.
  it.each([
    ['2024-03-31T12:00Z', '1m', 'UTC', '2024-03-02T12:00Z'],
    ['2023-03-31T12:00Z', '1m', 'UTC', '2023-03-03T12:00Z'],
    ['2024-02-29T12:00Z', '1y', 'UTC', '2023-03-01T12:00Z'],
    ['2024-02-29T12:00Z', '4y', 'UTC', '2020-02-29T12:00Z'],
    ['2024-01-01T00:00Z', '1d', 'UTC', '2023-12-31T00:00Z'],
    ['2024-01-15T00:00Z', '13m', 'UTC', '2022-12-15T00:00Z'],
    // A day is a day of the clock, 23 or 25 hours long where the clocks change; an hour is an hour.
    ['2024-03-31T12:00+02:00', '1d', 'Europe/Berlin', '2024-03-30T12:00+01:00'],
    ['2024-03-31T12:00+02:00', '24h', 'Europe/Berlin', '2024-03-30T11:00+01:00'],
    ['2024-10-27T12:00+01:00', '1d', 'Europe/Berlin', '2024-10-26T12:00+02:00'],
    ['2024-10-27T12:00+01:00', '24h', 'Europe/Berlin', '2024-10-26T13:00+02:00'],
  ])('lies before %s by %s in %s at %s', (time, span, zone, expected) => {
    const before = spanBefore(Date.parse(time), parseSpan(span, '--keep-within'), zone);
    expect(new Date(before).toISOString()).toBe(new Date(expected).toISOString());
  });

  it('may be longer than the calendar', () => {
    expect(spanBefore(0, parseSpan('999999y', '--keep-within'), 'UTC')).toBe(Number.NEGATIVE_INFINITY);
  });
});
