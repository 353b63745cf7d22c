import type { InferredOptionTypes, Options } from 'yargs';
import { FerryError } from '../errors.js';
import type { MigrateOptions } from '../jobs/migrate.js';
import { defined } from './requests.js';
import { writeOptions } from './write-options.js';

const GROUP = 'Back to v2:';

/** Flags of `migrate --to-api v2`. */
export const backOptions = {
  'to-api': { choices: ['v2', 'v3'], group: GROUP, defaultDescription: 'v3', describe: 'v2: carry v3 keys back to a v2 tree' },
  'directory-value': {
    type: 'string',
    group: GROUP,
    describe: 'Where a key has a value and others under it: keep the value, under this name in the directory',
  },
  'lease-ttl': { ...writeOptions['lease-ttl'], group: GROUP, defaultDescription: 'remaining', describe: 'What becomes of leases' },
} as const satisfies Readonly<Record<string, Options>>;

type Arguments = Partial<InferredOptionTypes<typeof backOptions>>;

/**
 * What the flags say about the way back.
 *
 * @throws FerryError `usage` for a flag that means nothing on the way to v3
 */
export function backFlags(args: Arguments): Pick<MigrateOptions, 'toApi' | 'directoryValue'> {
  const toApi = args['to-api'] as 'v2' | 'v3' | undefined;
  const stray = (['directory-value', 'lease-ttl'] as const).find((name) => toApi !== 'v2' && args[name] !== undefined);
  if (stray !== undefined) throw new FerryError('usage', `--${stray} is for --to-api v2`);
  return { ...defined('toApi', toApi), ...defined('directoryValue', args['directory-value']) };
}
