import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import type { InferredOptionTypes, Options } from 'yargs';
import type { MigrateOptions } from '../jobs/migrate.js';
import { defined } from './requests.js';
import type { Terminal } from './terminal.js';

export const stateOption = {
  state: {
    type: 'string',
    requiresArg: true,
    describe: 'Where to remember which keys of the target are ours',
    defaultDescription: '$XDG_STATE_HOME/etcdferry/…',
  },
} as const satisfies Readonly<Record<string, Options>>;

/** Flags that choose and rename keys: with others, it is other work. */
const WORK = [
  ...['prefix', 'exclude-prefix', 'include-hidden', 'hidden', 'map', 'strip-prefix', 'add-prefix'],
  ...['kind', 'exclude-kind', 'namespace', 'name', 'etcd-prefix'],
];

/**
 * Where the state of a migration is kept: the file given, else one in the user's state directory
 * (XDG Base Directory Specification, XDG_STATE_HOME).
 */
export function statePlace(
  args: Partial<InferredOptionTypes<typeof stateOption>> & Readonly<Record<string, unknown>>,
  { env }: Terminal,
): NonNullable<MigrateOptions['state']> {
  const base = env.XDG_STATE_HOME !== undefined && isAbsolute(env.XDG_STATE_HOME) ? env.XDG_STATE_HOME : join(homedir(), '.local/state');
  const chosen = WORK.map((name) => [name, args[name]] as const).filter(([, value]) => value !== undefined);
  const work = JSON.stringify(chosen.map(([name, value]) => [name, Array.isArray(value) ? [...value].sort() : value]));
  return { ...defined('path', args.state), directory: join(base, 'etcdferry'), work };
}
