import { FerryError } from '../errors.js';
import { shownSlip } from '../model/secrets.js';

const UNITS_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/**
 * Reads a duration as Go and etcdctl spell it: `5s`, `1m30s`, `250ms`; days (`30d`) besides.
 *
 * @returns milliseconds
 * @throws FerryError `usage`
 */
export function parseDuration(text: string, flag: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== text) {
    throw new FerryError('usage', `${flag}: ${shownSlip(text)} is not a duration`, { hint: 'Write it like 5s, 1m30s or 2h.' });
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * (UNITS_MS[unit as string] as number), 0);
}

const UNITS_BYTES: Readonly<Record<string, number>> = { '': 1, k: 1 << 10, m: 1 << 20, g: 2 ** 30, t: 2 ** 40 };

/**
 * Reads a size above 0: `1048576`, `512K`, `8M`, `1.5MiB`. Letters count in powers of 1024, as restic's do.
 *
 * @returns bytes
 * @throws FerryError `usage`
 */
export function parseSize(text: string, flag: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$/i.exec(text);
  if (match === null)
    throw new FerryError('usage', `${flag}: ${shownSlip(text)} is not a size`, { hint: 'Write it like 1048576, 512K or 8M.' });
  const size = Math.floor(Number(match[1]) * (UNITS_BYTES[(match[2] as string).toLowerCase()] as number));
  if (size === 0) throw new FerryError('usage', `${flag}: ${shownSlip(text)} is nothing; a size above 0 was expected`);
  return size;
}

/**
 * Reads a revision: a whole number above 0.
 *
 * @throws FerryError `usage`
 */
export function parseRevision(text: string, flag: string): bigint {
  const revision = /^\d{1,19}$/.test(text) ? BigInt(text) : 0n;
  if (revision <= 0n || revision >= 2n ** 63n) {
    throw new FerryError('usage', `${flag}: ${shownSlip(text)} is not a revision`, { hint: 'A revision is a whole number above 0.' });
  }
  return revision;
}
