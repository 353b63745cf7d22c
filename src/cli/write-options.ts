import type { InferredOptionTypes, Options } from 'yargs';
import { parseKeyMapping } from '../convert/key-mapping.js';
import { FerryError } from '../errors.js';
import type { WriteOptions } from '../jobs/write-live.js';
import { parseSize } from '../locations/quantity.js';
import type { objectOptions, runtimeOption, selectionOptions } from './options.js';
import { defined, keySelection, parsed } from './requests.js';

const GROUP = 'Writing:';

export const writeOptions = {
  'on-conflict': {
    choices: ['fail', 'skip', 'overwrite'],
    defaultDescription: 'fail',
    group: GROUP,
    describe: 'What to do about keys that are there with another value',
  },
  'lease-ttl': {
    choices: ['granted', 'remaining', 'deadline', 'drop'],
    defaultDescription: 'granted',
    group: GROUP,
    describe: 'TTL to grant leases with: as first granted, what remained, what remains by now, or no leases',
  },
  'with-auth': { type: 'boolean', group: GROUP, describe: 'Restore users and roles too' },
  'delete-extra': { type: 'boolean', group: GROUP, describe: 'Within the chosen prefix, delete keys the archive does not have' },
  map: {
    type: 'string',
    array: true,
    requiresArg: true,
    group: GROUP,
    describe: 'OLD=NEW: write keys of prefix OLD under NEW (repeatable)',
  },
  'strip-prefix': { type: 'string', group: GROUP, describe: 'Take this prefix off every key' },
  'add-prefix': { type: 'string', group: GROUP, describe: 'Put this prefix before every key' },
  'max-txn-ops': { type: 'number', group: GROUP, describe: 'Operations in one transaction', defaultDescription: '128' },
  'max-request-bytes': { type: 'string', group: GROUP, describe: 'Largest request to send', defaultDescription: '1.5M' },
} as const satisfies Readonly<Record<string, Options>>;

type Arguments = Partial<InferredOptionTypes<typeof writeOptions>> &
  Partial<InferredOptionTypes<typeof selectionOptions>> &
  Partial<InferredOptionTypes<typeof objectOptions>> &
  Partial<InferredOptionTypes<typeof runtimeOption>> & { readonly 'dry-run'?: boolean | undefined };

/**
 * The writer's options from the command line's.
 *
 * @throws FerryError `usage` for a mapping or number that makes no sense
 */
export function writerOptions(args: Arguments): Omit<WriteOptions, 'tmpDir'> {
  const ops = args['max-txn-ops'];
  if (ops !== undefined && !(Number.isInteger(ops) && ops > 0)) {
    throw new FerryError('usage', `--max-txn-ops: ${ops} is not a whole number above 0`);
  }
  return {
    ...defined('onConflict', args['on-conflict']),
    ...defined('leaseTtl', args['lease-ttl']),
    ...defined('withAuth', args['with-auth']),
    ...defined('includeRuntime', args['include-runtime']),
    ...defined('etcdPrefixes', args['etcd-prefix']),
    ...(args['delete-extra'] === true ? { deleteExtra: deleteScope(args) } : {}),
    dryRun: args['dry-run'] === true,
    mapping: parseKeyMapping({
      map: args.map ?? [],
      ...defined('stripPrefix', args['strip-prefix']),
      ...defined('addPrefix', args['add-prefix']),
    }),
    selection: keySelection(args),
    ...defined('maxTxnOps', ops),
    ...defined('maxRequestBytes', parsed(args, 'max-request-bytes', parseSize)),
  };
}

/** Deleting is bounded by a prefix; the whole keyspace must be meant, as `--prefix ""`. */
function deleteScope(args: Arguments): 'prefixes' | 'everything' {
  const chosen = (['kind', 'exclude-kind', 'namespace', 'name', 'object-name'] as const).find((name) => args[name] !== undefined);
  if (chosen !== undefined) {
    throw new FerryError('usage', `--delete-extra would delete all that --${chosen} leaves out`, { hint: 'Choose by --prefix instead.' });
  }
  if (args.prefix === undefined || args.prefix.length === 0) {
    throw new FerryError('usage', '--delete-extra needs a --prefix to delete within', {
      hint: 'Look first with --dry-run. For the whole keyspace give --prefix "".',
    });
  }
  return args.prefix.includes('') ? 'everything' : 'prefixes';
}
