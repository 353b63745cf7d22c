import type { InferredOptionTypes, Options } from 'yargs';
import type { SamplePart } from '../archive/prove-sample.js';
import { FerryError } from '../errors.js';
import type { VerifyOptions } from '../jobs/verify.js';
import type { AgainstOptions } from '../jobs/verify-against.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import { shownSlip } from '../model/secrets.js';
import { connectionOptions, encryptionOption, objectOptions } from './options.js';
import { connectionSettings, defined, exclusions, type SourceArguments, sourceRequest } from './requests.js';
import type { Terminal } from './terminal.js';

const DEPTH = 'How deep:';
const AGAINST = 'Compared with another source:';
const DRILL = 'Restored for trial:';
const DAY = 86_400_000;
const MOST_PARTS = 366;
const { endpoints: _, ...targetConnection } = connectionOptions;

/** Flags of `verify` beside those that say how its locations are read. */
export const verifyOptions = {
  depth: {
    choices: ['account', 'segments', 'records'],
    default: 'segments',
    group: DEPTH,
    describe: 'Small reads of an archive, one a segment; every byte; every byte, and every record looked at',
  },
  sample: { type: 'string', group: DEPTH, describe: 'Of archives only this part of the segments, another one each day: 1/7' },
  ...encryptionOption,
  'etcd-prefix': objectOptions['etcd-prefix'],
  against: { type: 'string', group: AGAINST, describe: 'Compare the content with this live cluster, snapshot file or archive' },
  'ignore-prefix': {
    type: 'string',
    array: true,
    requiresArg: true,
    group: AGAINST,
    describe: 'Keys with this prefix are expected to move (repeatable)',
  },
  'ignore-kind': {
    type: 'string',
    array: true,
    requiresArg: true,
    group: AGAINST,
    describe: 'Objects of this kind are expected to move (repeatable)',
  },
  'allow-empty': { type: 'boolean', group: AGAINST, describe: 'That no key is compared is meant' },
  drill: { type: 'boolean', group: DRILL, describe: 'Restore it into a real etcd, started for the purpose, and read everything back' },
  'etcd-bin': { type: 'string', group: DRILL, describe: 'Directory with etcd and etcdutl (or etcdctl)', defaultDescription: '$PATH' },
  ...targetConnection,
} as const satisfies Readonly<Record<string, Options>>;

type VerifyArguments = SourceArguments & { readonly location: readonly string[] } & Partial<InferredOptionTypes<typeof verifyOptions>>;

/**
 * What `verify` is to do, by its flags.
 *
 * @param encryption opened, closed by the caller
 * @throws FerryError `usage` for flags that do not go together
 */
export async function verifyRequest(args: VerifyArguments, encryption: Encryption | undefined, terminal: Terminal): Promise<VerifyOptions> {
  refuseMismatched(args);
  return {
    ...defined('depth', args.depth),
    ...defined('sample', args.sample === undefined ? undefined : parseSample(args.sample, Date.now())),
    ...defined('encryption', encryption),
    ...defined('drill', args.drill === true ? { ...defined('etcdBin', args['etcd-bin']), searchPath: terminal.env.PATH ?? '' } : undefined),
    ...defined('against', args.against === undefined ? undefined : await againstOf(args.against, args, terminal)),
  };
}

/**
 * A part of the segments: `1/7` is a seventh of them, another one each day, by the date in UTC.
 *
 * @param now milliseconds since the Unix epoch
 * @throws FerryError `usage`
 */
export function parseSample(text: string, now: number): SamplePart {
  const of = Number(/^1\/([1-9]\d{0,2})$/.exec(text)?.[1] ?? 0);
  if (of >= 1 && of <= MOST_PARTS) return { part: Math.floor(now / DAY) % of, of };
  throw new FerryError('usage', `--sample: ${shownSlip(text)} is no part like 1/7`, {
    hint: `One of at most ${MOST_PARTS} parts: --sample 1/7 reads all within a week.`,
  });
}

function refuseMismatched(args: VerifyArguments): void {
  if (args.sample !== undefined && args.depth === 'account') {
    throw new FerryError('usage', '--sample chooses segments, which --depth account does not read');
  }
  if (args['encryption-config'] !== undefined && args.depth !== 'records') {
    throw new FerryError('usage', '--encryption-config is for --depth records, which looks at values');
  }
  if (args['etcd-bin'] !== undefined && args.drill !== true) throw new FerryError('usage', '--etcd-bin is for --drill');
  if ([...args.location, args.against].filter((location) => location === '-').length > 1) {
    throw new FerryError('usage', 'stdin can be read only once: - was given more than once');
  }
  if (args.against !== undefined) return;
  const names = ['ignore-prefix', 'ignore-kind', 'allow-empty', ...Object.keys(targetConnection)] as (keyof VerifyArguments)[];
  const stray = names.find((name) => args[name] !== undefined);
  if (stray !== undefined)
    throw new FerryError('usage', `--${stray} is for --against`, { hint: 'Name what to compare with: --against LOC' });
}

async function againstOf(location: string, args: VerifyArguments, terminal: Terminal): Promise<AgainstOptions> {
  const request = sourceRequest({ ...args, from: location }, terminal, connectionSettings(args, terminal));
  // Loaded when needed: what tells sources apart stands on all their readers.
  const [{ detect }, { withoutStrayFlags }] = await Promise.all([import('../locations/detect.js'), import('../locations/source.js')]);
  const found = request.location.kind === 'path' ? await detect(request.location.path) : request.location.kind;
  return {
    with: withoutStrayFlags(request, found),
    ignorePrefixes: exclusions('ignore-prefix', args['ignore-prefix']),
    ignoreKinds: args['ignore-kind'] ?? [],
    etcdPrefixes: args['etcd-prefix'] ?? [],
  };
}
