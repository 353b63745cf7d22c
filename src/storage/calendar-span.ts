import { DateTime } from 'luxon';
import { FerryError } from '../errors.js';
import { shownSlip } from '../model/secrets.js';

/** A stretch of the calendar, as restic's `--keep-within` has it; whole numbers from 0. */
export interface CalendarSpan {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
}

const UNITS = [
  ['y', 'years'],
  ['m', 'months'],
  ['d', 'days'],
  ['h', 'hours'],
] as const;

/**
 * Reads a span of years, months, days and hours: `1y5m7d2h`, each unit at most once.
 *
 * @throws FerryError `usage`
 */
export function parseSpan(text: string, flag: string): CalendarSpan {
  const parts = [...text.matchAll(/(\d{1,6})([ymdh])/g)];
  const units = parts.map(([, , unit]) => unit);
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text || new Set(units).size !== units.length) {
    throw new FerryError('usage', `${flag}: ${shownSlip(text)} is not a span of time`, {
      hint: 'Write it like 30d or 1y5m7d2h: years, months, days and hours.',
    });
  }
  const span = Object.fromEntries(UNITS.map(([unit, field]) => [field, Number(parts.find((part) => part[2] === unit)?.[1] ?? 0)]));
  return span as unknown as CalendarSpan;
}

/** `1y5m7d2h`; nothing for an empty span. */
export function formatSpan(span: CalendarSpan): string {
  return UNITS.map(([unit, field]) => (span[field] === 0 ? '' : `${span[field]}${unit}`)).join('');
}

export function isEmptySpan(span: CalendarSpan | undefined): boolean {
  return span === undefined || formatSpan(span) === '';
}

/**
 * The moment a span before another. A date that is none rolls over, as Go's Time.AddDate has it, and so
 * restic: a month before 31 March is "31 February", 3 March (2 March in a leap year).
 *
 * @param time milliseconds since the Unix epoch
 * @returns milliseconds since the Unix epoch
 */
export function spanBefore(time: number, span: CalendarSpan, zone: string): number {
  const from = DateTime.fromMillis(time, { zone });
  const month = from.set({ day: 1 }).minus({ years: span.years, months: span.months });
  const then = month.plus({ days: from.day - 1 - span.days }).minus({ hours: span.hours });
  // Before all that the calendar can say.
  return then.isValid ? then.toMillis() : Number.NEGATIVE_INFINITY;
}
