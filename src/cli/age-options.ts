import type { InferredOptionTypes, Options } from 'yargs';
import type { SealWith } from '../locations/age-keys.js';
import { identityOptions } from './options.js';
import { defined } from './requests.js';

const GROUP = identityOptions.identity.group;

/**
 * Whom a new archive is encrypted for, in commands that write one. The plain `--passphrase-file` is that
 * of what they write, `--from-passphrase-file` that of what they read.
 */
export const sealOptions = {
  recipient: {
    type: 'string',
    array: true,
    requiresArg: true,
    group: GROUP,
    describe: 'Encrypt the archive for this age recipient, age1… (repeatable)',
  },
  'recipients-file': {
    type: 'string',
    array: true,
    requiresArg: true,
    group: GROUP,
    describe: 'Encrypt for the recipients in this file, one a line (repeatable)',
  },
  'passphrase-file': { type: 'string', group: GROUP, describe: 'Encrypt with the passphrase in this file' },
  identity: { ...identityOptions.identity, describe: 'File of age identities that open an encrypted source (repeatable)' },
  'from-passphrase-file': { type: 'string', group: GROUP, describe: 'File that holds the passphrase of an encrypted source' },
} as const satisfies Readonly<Record<string, Options>>;

type SealArguments = Partial<InferredOptionTypes<typeof sealOptions>>;

/** Whom the archive that a command writes is encrypted for; undefined where nothing was given. */
export function sealWith(args: SealArguments): SealWith | undefined {
  const seal = {
    ...defined('recipients', args.recipient),
    ...defined('recipientsFiles', args['recipients-file']),
    ...defined('passphraseFile', args['passphrase-file']),
  };
  return Object.keys(seal).length === 0 ? undefined : seal;
}

/** The arguments of such a command as one that only reads would have them. */
export function readingSide<A extends SealArguments>(args: A): A {
  return { ...args, 'passphrase-file': args['from-passphrase-file'] };
}
