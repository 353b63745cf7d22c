import type { InferredOptionTypes, Options } from 'yargs';
import { FerryError } from '../errors.js';
import { shownSlip } from '../model/secrets.js';
import type { RetentionPolicy } from '../storage/retention.js';
import { defined } from './requests.js';

const GROUP = 'Retention:';

const count = (what: string) => ({ type: 'string', requiresArg: true, group: GROUP, describe: `Keep ${what} (-1: all)` }) as const;

/** What restic's `forget` has, with the same meaning. */
export const retentionOptions = {
  'keep-last': count('the last N archives'),
  'keep-hourly': count('the newest of each of the last N hours that have one'),
  'keep-daily': count('the newest of each of the last N days'),
  'keep-weekly': count('the newest of each of the last N ISO weeks'),
  'keep-monthly': count('the newest of each of the last N months'),
  'keep-yearly': count('the newest of each of the last N years'),
  'keep-within': {
    type: 'string',
    requiresArg: true,
    group: GROUP,
    describe: 'Keep all that are so much older than the newest (30d, 1y5m7d2h)',
  },
} as const satisfies Readonly<Record<string, Options>>;

export type RetentionArguments = Partial<InferredOptionTypes<typeof retentionOptions>>;

/**
 * The policy that the flags make; undefined where none was given.
 *
 * @throws FerryError `usage` for what is no number or span
 */
export async function retentionPolicy(args: RetentionArguments): Promise<RetentionPolicy | undefined> {
  const units = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
  const counts = units.filter((unit) => args[`keep-${unit}`] !== undefined);
  const within = args['keep-within'];
  if (counts.length === 0 && within === undefined) return undefined;
  // The calendar is loaded with it, and only here.
  const { parseSpan } = await import('../storage/calendar-span.js');
  return {
    ...Object.fromEntries(counts.map((unit) => [unit, parseCount(args[`keep-${unit}`] as string, `--keep-${unit}`)])),
    ...defined('within', within === undefined ? undefined : parseSpan(within, '--keep-within')),
  };
}

function parseCount(text: string, flag: string): number {
  if (text === 'unlimited') return -1;
  if (/^(-1|\d{1,9})$/.test(text)) return Number(text);
  throw new FerryError('usage', `${flag}: ${shownSlip(text)} is not a number of archives`, { hint: 'Give a whole number, or -1 for all.' });
}

/**
 * The policy of a command that needs one.
 *
 * @throws FerryError `usage` where none was given
 */
export async function requiredPolicy(args: RetentionArguments): Promise<RetentionPolicy> {
  const policy = await retentionPolicy(args);
  if (policy !== undefined) return policy;
  throw new FerryError('usage', 'no retention policy was given: everything would go', {
    hint: 'Say what to keep, for example --keep-daily 7 --keep-weekly 4. See what it means with --dry-run.',
  });
}
