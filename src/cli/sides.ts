import type { Options } from 'yargs';
import { FerryError } from '../errors.js';
import type { ConnectionSettings } from '../locations/connection.js';
import { connectionOptions } from './options.js';
import { type ConnectionArguments, connectionSettings } from './requests.js';
import type { Terminal } from './terminal.js';

type Side = 'from' | 'to';

const { endpoints: _, ...eachSide } = connectionOptions;
const NAMES = Object.keys(eachSide) as (keyof typeof eachSide)[];

/** Connection flags for commands that may have a live cluster on both sides: plain, and named for a side. */
export const twoSidedOptions: typeof eachSide & Record<string, Options> = {
  ...eachSide,
  ...named('from'),
  ...named('to'),
};

/** What the help of such a command says about them. */
export const SIDES_HELP =
  'With two live clusters each connection flag names its side: --from-cacert, --to-user, and so on;\nthe environment ($ETCDCTL_…) is for the source alone.';

/**
 * The connection settings of both sides. Plain flags and the environment are for the one live side;
 * with two, flags must name theirs and the environment is for the source alone, so that a shell's
 * settings never reach a write target.
 *
 * @throws FerryError `usage` for a plain flag where two sides are live
 */
export function settingsOfSides(
  args: ConnectionArguments & Readonly<Record<string, unknown>>,
  terminal: Terminal,
  live: { readonly from: boolean; readonly to: boolean },
): { readonly from: ConnectionSettings; readonly to: ConnectionSettings } {
  const both = live.from && live.to;
  const plain = NAMES.find((name) => args[name] !== undefined);
  if (both && plain !== undefined) {
    throw new FerryError('usage', `--${plain}: both sides are live clusters`, { hint: `Say which: --from-${plain} or --to-${plain}.` });
  }
  const withoutEnvironment = { ...terminal, env: {} };
  return {
    from: live.from ? connectionSettings({ ...pick(args), ...pick(args, 'from') }, terminal) : {},
    to: live.to ? connectionSettings({ ...pick(args), ...pick(args, 'to') }, both ? withoutEnvironment : terminal) : {},
  };
}

function named(side: Side): Record<string, Options> {
  return Object.fromEntries(NAMES.map((name) => [`${side}-${name}`, { type: eachSide[name].type, hidden: true }]));
}

function pick(args: Readonly<Record<string, unknown>>, side?: Side): ConnectionArguments {
  const given = NAMES.map((name) => [name, args[side === undefined ? name : `${side}-${name}`]] as const);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined)) as ConnectionArguments;
}
