import type { Options } from 'yargs';
import type { Pair } from '../locations/pair.js';
import { parseLocation } from '../locations/parse.js';
import type { SourceRequest } from '../locations/source.js';
import { readOptions } from './options.js';
import { type SourceArguments, sourceRequest } from './requests.js';
import { settingsOfSides, twoSidedOptions } from './sides.js';
import type { Terminal } from './terminal.js';

type Side = 'from' | 'to';

const READ_NAMES = Object.keys(readOptions) as (keyof typeof readOptions)[];

/** Flags that say how two sources are read: plain for whichever side they fit, `--from-…` and `--to-…` for one. */
export const pairOptions: typeof readOptions & typeof twoSidedOptions & Record<string, Options> = {
  ...readOptions,
  ...twoSidedOptions,
  ...named('from'),
  ...named('to'),
};

export const PAIR_HELP =
  'A flag that says how to read or connect is for every side that it fits; --from-… and --to-…\n' +
  'name the side: --from-revision 100 --to-revision 200. With two live clusters each connection\n' +
  'flag must name its side (--from-cacert, --to-user, …); the environment is for the first alone.';

type PairArguments = SourceArguments & Readonly<Record<string, unknown>>;

/**
 * The two sources a command line names, the first as `from`, the second as `to`.
 *
 * @throws FerryError `usage` for a flag that fits neither side, or does not say which it means
 */
export async function pairOf(from: string, to: string, args: PairArguments, terminal: Terminal): Promise<Pair<SourceRequest>> {
  const live = { from: parseLocation(from).kind === 'live', to: parseLocation(to).kind === 'live' };
  const connections = settingsOfSides(args, terminal, live);
  const both = {
    left: sourceRequest({ ...args, from }, terminal, connections.from),
    right: sourceRequest({ ...args, from: to }, terminal, connections.to),
  };
  // Loaded when needed: what tells sources apart stands on all their readers.
  const { pairRequests } = await import('../locations/pair.js');
  return pairRequests(both, { left: ofSide(from, 'from', args, terminal), right: ofSide(to, 'to', args, terminal) });
}

/** What was asked of one side by name, and nothing else. */
function ofSide(location: string, side: Side, args: PairArguments, terminal: Terminal): Partial<SourceRequest> {
  const given = READ_NAMES.map((name) => [name, args[`${side}-${name}`]] as const).filter(([, value]) => value !== undefined);
  const request = sourceRequest({ ...(Object.fromEntries(given) as SourceArguments), from: location }, { ...terminal, env: {} }, {});
  const { location: _, connection: _connection, selection: _selection, tmpDir: _dir, stdin: _stdin, ...asked } = request;
  return asked;
}

function named(side: Side): Record<string, Options> {
  return Object.fromEntries(
    READ_NAMES.map((name) => [`${side}-${name}`, { ...readOptions[name], hidden: true, defaultDescription: undefined }]),
  );
}
