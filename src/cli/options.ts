import { tmpdir } from 'node:os';
import type { InferredOptionTypes, Options } from 'yargs';
import { FerryError } from '../errors.js';
import type { ConnectionSettings } from '../locations/connection.js';
import { type Location, parseEndpoints, parseLocation } from '../locations/parse.js';
import { parseDuration, parseRevision, parseSize } from '../locations/quantity.js';
import type { SourceRequest } from '../locations/source.js';
import type { Api, KeySelection } from '../model/source.js';
import { say, type Terminal } from './terminal.js';

type OptionSet = Readonly<Record<string, Options>>;

const CONNECTION = 'Connection:';
const SELECTION = 'Which keys:';
const OUTPUT = 'Output:';

export const connectionOptions = {
  endpoints: { type: 'string', group: CONNECTION, describe: 'Endpoints, separated by commas, in place of --from [$ETCDCTL_ENDPOINTS]' },
  cacert: { type: 'string', group: CONNECTION, describe: 'Trust servers whose certificate this CA file signed [$ETCDCTL_CACERT]' },
  cert: { type: 'string', group: CONNECTION, describe: 'Client certificate file [$ETCDCTL_CERT]' },
  key: { type: 'string', group: CONNECTION, describe: 'Key file of the client certificate [$ETCDCTL_KEY]' },
  user: { type: 'string', group: CONNECTION, describe: 'User, or user:password [$ETCDCTL_USER]' },
  password: { type: 'string', group: CONNECTION, describe: 'Password; others can read it in the process list [$ETCDCTL_PASSWORD]' },
  'password-file': { type: 'string', group: CONNECTION, describe: 'File that holds the password' },
  'insecure-skip-tls-verify': { type: 'boolean', group: CONNECTION, describe: 'Do not check the server certificate (dangerous)' },
  'dial-timeout': { type: 'string', group: CONNECTION, describe: 'Longest wait for a connection', defaultDescription: '5s' },
  'command-timeout': { type: 'string', group: CONNECTION, describe: 'Longest wait for one answer', defaultDescription: '1m' },
} as const satisfies OptionSet;

export const selectionOptions = {
  prefix: { type: 'string', array: true, requiresArg: true, group: SELECTION, describe: 'Only keys with this prefix (repeatable)' },
  'exclude-prefix': { type: 'string', array: true, requiresArg: true, group: SELECTION, describe: 'No keys with this prefix (repeatable)' },
} as const satisfies OptionSet;

export const liveReadOptions = {
  api: { choices: ['v2', 'v3'], describe: 'API to read a live cluster or data dir with', defaultDescription: 'v3' },
  revision: { type: 'string', describe: 'Read at this revision, not the latest' },
  via: { choices: ['range', 'snapshot'], describe: 'How to read a live v3 cluster', defaultDescription: 'range' },
  'limit-rate': { type: 'string', describe: 'Read at most this many bytes a second (8M)' },
  'include-hidden': { type: 'string', array: true, requiresArg: true, describe: 'A hidden v2 node to read too, by path (repeatable)' },
  'wal-dir': { type: 'string', describe: "Where a data dir's WAL is, if not in it" },
  'include-uncommitted': { type: 'boolean', describe: "Take the tail of a data dir's WAL too, beyond the commit index" },
  'max-memory': { type: 'string', describe: 'Most memory for replaying a data dir', defaultDescription: '2G' },
} as const satisfies OptionSet;

export const spoolOptions = {
  'max-record-size': { type: 'string', describe: 'Largest record to accept from an archive', defaultDescription: '64M' },
  'tmp-dir': { type: 'string', describe: 'Where to put what must be spooled', defaultDescription: '$TMPDIR' },
} as const satisfies OptionSet;

export const outputOptions = {
  json: { type: 'boolean', group: OUTPUT, describe: 'Print JSON (docs: scripting)' },
  quiet: { type: 'boolean', alias: 'q', group: OUTPUT, describe: 'No progress, no summary; warnings and errors only' },
} as const satisfies OptionSet;

type Parsed<T extends OptionSet> = Partial<InferredOptionTypes<T>>;
export type ConnectionArguments = Parsed<typeof connectionOptions>;
export type SourceArguments = ConnectionArguments &
  Parsed<typeof selectionOptions> &
  Parsed<typeof liveReadOptions> &
  Parsed<typeof spoolOptions> & { readonly from?: string | undefined };

/** Connection settings from flags, and where a flag is missing from etcdctl's environment. */
export function connectionSettings(args: ConnectionArguments, terminal: Terminal): ConnectionSettings {
  const env = (name: string): string | undefined => terminal.env[`ETCDCTL_${name}`] || undefined;
  if (args.password !== undefined || args.user?.includes(':') === true) {
    say(terminal, 'warning: a password on the command line can be read in the process list; use --password-file');
  }
  const settings: Record<keyof ConnectionSettings, string | number | boolean | undefined> = {
    cacert: args.cacert ?? env('CACERT'),
    cert: args.cert ?? env('CERT'),
    key: args.key ?? env('KEY'),
    user: args.user ?? env('USER'),
    password: args.password ?? (args['password-file'] === undefined && args.user?.includes(':') !== true ? env('PASSWORD') : undefined),
    passwordFile: args['password-file'],
    insecureSkipTlsVerify: args['insecure-skip-tls-verify'],
    dialTimeout: parsed(args, 'dial-timeout', parseDuration),
    commandTimeout: parsed(args, 'command-timeout', parseDuration),
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as ConnectionSettings;
}

/** The source a command line names: `--from`, or in its place `--endpoints` or $ETCDCTL_ENDPOINTS. */
export function sourceRequest(args: SourceArguments, terminal: Terminal): SourceRequest {
  return {
    location: sourceLocation(args, terminal),
    connection: connectionSettings(args, terminal),
    selection: keySelection(args),
    ...defined('api', args.api as Api | undefined),
    ...defined('via', args.via as 'range' | 'snapshot' | undefined),
    ...defined('revision', parsed(args, 'revision', parseRevision)),
    ...defined('limitRate', parsed(args, 'limit-rate', parseSize)),
    ...defined('maxRecordSize', parsed(args, 'max-record-size', parseSize)),
    ...defined('includeHidden', args['include-hidden']),
    ...defined('walDir', args['wal-dir']),
    ...defined('includeUncommitted', args['include-uncommitted']),
    ...defined('maxMemory', parsed(args, 'max-memory', parseSize)),
    tmpDir: args['tmp-dir'] ?? tmpdir(),
    stdin: terminal.stdin,
  };
}

function sourceLocation(args: SourceArguments, terminal: Terminal): Location {
  if (args.from !== undefined && args.endpoints !== undefined) {
    throw new FerryError('usage', 'both --from and --endpoints were given', { hint: '--endpoints stands in for a missing --from.' });
  }
  if (args.from !== undefined) return parseLocation(args.from);
  const endpoints = args.endpoints ?? terminal.env.ETCDCTL_ENDPOINTS;
  if (endpoints === undefined || endpoints === '') {
    throw new FerryError('usage', 'no source was given', { hint: 'Name it with --from, for example --from http://127.0.0.1:2379' });
  }
  const parsed = parseEndpoints(endpoints);
  return { kind: 'live', text: parsed.join(','), endpoints: parsed };
}

/** The keys chosen by `--prefix` and `--exclude-prefix`. */
export function keySelection(args: Parsed<typeof selectionOptions>): KeySelection {
  const bytes = (texts: readonly string[] | undefined): Buffer[] => (texts ?? []).map((text) => Buffer.from(text));
  return { prefixes: bytes(args.prefix), excludePrefixes: bytes(args['exclude-prefix']) };
}

/** `{name: value}`, or nothing where there is no value. */
export function defined<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: V });
}

/** The value of flag `name` through its parser, or nothing where the flag was not given. */
export function parsed<K extends string, V>(
  args: { readonly [P in K]?: string | undefined },
  name: K,
  parse: (text: string, flag: string) => V,
): V | undefined {
  const text = args[name];
  return text === undefined ? undefined : parse(text, `--${name}`);
}
