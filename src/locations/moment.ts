import { FerryError } from '../errors.js';
import { shownSlip } from '../model/secrets.js';

const MOMENT = /^(\d{4})-?(\d\d)-?(\d\d)(?:[T ](\d\d):?(\d\d)(?::?(\d\d)(\.\d{1,9})?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?)?$/i;

/**
 * Reads a time as ISO 8601 has it, and as the names of archives do: `2026-11-23T03:15:00Z`,
 * `20261123T031500.123Z`, `2026-11-23`. Without a zone it is UTC, as those names are. What is left away counts
 * as late as it can be: a date alone is the end of that day, 03:15 the end of that minute.
 *
 * @returns milliseconds since the Unix epoch
 * @throws FerryError `usage`
 */
export function parseMoment(text: string, flag: string): number {
  const [, year, month, day, hour, minute, second, fraction, zone] = MOMENT.exec(text.trim()) ?? [];
  const time = `${hour ?? '23'}:${minute ?? '59'}:${second ?? '59'}${milliseconds(second, fraction)}`;
  const at = Date.parse(`${year}-${month}-${day}T${time}${offset(zone)}`);
  const date = new Date(Date.parse(`${year}-${month}-${day}T00:00:00Z`));
  // Date.parse takes the 30th of February for the 2nd of March.
  if (year !== undefined && !Number.isNaN(at) && date.getUTCDate() === Number(day)) return at;
  throw new FerryError('usage', `${flag}: ${shownSlip(text)} is not a time`, {
    hint: 'Write it like 2026-11-23T03:15:00Z, or 2026-11-23.',
  });
}

function milliseconds(second: string | undefined, fraction: string | undefined): string {
  return second === undefined ? '.999' : (fraction ?? '.999').padEnd(4, '0').slice(0, 4);
}

function offset(zone: string | undefined): string {
  if (zone === undefined || zone.toUpperCase() === 'Z') return 'Z';
  const digits = zone.replace(':', '').padEnd(5, '0');
  return `${digits.slice(0, 3)}:${digits.slice(3)}`;
}
