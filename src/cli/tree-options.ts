import type { InferredOptionTypes, Options } from 'yargs';
import { EXACT_TTL, type TtlRule } from '../convert/v2-ttl.js';
import { FerryError } from '../errors.js';
import type { TreeRules } from '../jobs/migrate.js';
import { parseDuration } from '../locations/quantity.js';
import { defined } from './requests.js';

const GROUP = 'What v3 has no place for:';

/** What becomes of the parts of a v2 tree that v3 has no like of. */
export const treeOptions = {
  ttl: {
    type: 'string',
    requiresArg: true,
    group: GROUP,
    describe: 'exact: expirations are kept; attach-lease=SECONDS: one lease for all; permanent: none',
    defaultDescription: 'exact',
  },
  'ttl-granularity': {
    type: 'string',
    requiresArg: true,
    group: GROUP,
    describe: 'With exact: one lease for all that expires within so long, rounded up (1m)',
    defaultDescription: '1s',
  },
  'empty-dirs': {
    choices: ['drop', 'marker'],
    group: GROUP,
    describe: 'Empty directories: drop, or keep a key that ends in a slash',
    defaultDescription: 'drop, with exit status 3',
  },
  hidden: {
    choices: ['keep', 'drop'],
    group: GROUP,
    describe: 'Hidden nodes (a name begins with _)',
    defaultDescription: 'keep those that are known',
  },
  'drop-expired': { type: 'boolean', group: GROUP, describe: 'Expired nodes are meant to be left behind: no exit status 3' },
} as const satisfies Readonly<Record<string, Options>>;

/**
 * The rules from the command line's flags.
 *
 * @param back v3 keys are carried back to a tree, where these flags mean nothing
 * @throws FerryError `usage` for a TTL rule or granularity that makes no sense
 */
export function treeRules(args: Partial<InferredOptionTypes<typeof treeOptions>>, back: boolean): TreeRules {
  const stray = back ? (Object.keys(treeOptions) as (keyof typeof treeOptions)[]).find((name) => args[name] !== undefined) : undefined;
  if (stray !== undefined) throw new FerryError('usage', `--${stray} is for the way from v2 to v3`);
  return {
    ttl: ttlRule(args.ttl, args['ttl-granularity']),
    ...defined('emptyDirs', args['empty-dirs']),
    ...defined('hidden', args.hidden),
    ...defined('dropExpired', args['drop-expired']),
  };
}

function ttlRule(text = 'exact', granularity: string | undefined): TtlRule {
  if (granularity !== undefined && text !== 'exact') {
    throw new FerryError('usage', `--ttl-granularity is for --ttl exact, not ${text}`);
  }
  if (text === 'exact') return granularity === undefined ? EXACT_TTL : { kind: 'exact', granularity: wholeSeconds(granularity) };
  if (text === 'permanent') return { kind: 'permanent' };
  const seconds = /^attach-lease=([1-9]\d{0,9})$/.exec(text)?.[1];
  if (seconds === undefined) {
    throw new FerryError('usage', `--ttl takes exact, attach-lease=SECONDS or permanent`);
  }
  return { kind: 'attach-lease', ttl: BigInt(seconds) };
}

function wholeSeconds(text: string): bigint {
  const milliseconds = parseDuration(text, '--ttl-granularity');
  if (milliseconds < 1000 || milliseconds % 1000 !== 0) {
    throw new FerryError('usage', `--ttl-granularity: ${text} is not a whole number of seconds above 0`);
  }
  return BigInt(milliseconds / 1000);
}
