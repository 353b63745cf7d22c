import { FerryError } from '../errors.js';

const RFC3339 = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})$/;

/**
 * Reads a time as Go's encoder writes it (RFC 3339, up to nine digits of a second, any zone).
 *
 * @returns nanoseconds since the Unix epoch; 0n for Go's zero time, year 1
 * @throws FerryError `damaged` for anything else
 */
export function parseGoTime(text: string): bigint {
  const [, seconds, fraction = '', zone] = RFC3339.exec(text) ?? [];
  const millis = seconds === undefined ? Number.NaN : Date.parse(`${seconds}${zone}`);
  if (Number.isNaN(millis)) throw new FerryError('damaged', `"${text.slice(0, 40)}" is not a time`);
  if (text === '0001-01-01T00:00:00Z') return 0n;
  return BigInt(millis) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
