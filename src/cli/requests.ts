import { tmpdir } from 'node:os';
import type { InferredOptionTypes, Options } from 'yargs';
import { FerryError } from '../errors.js';
import type { OpenWith } from '../locations/age-keys.js';
import type { ConnectionSettings } from '../locations/connection.js';
import { parseMoment } from '../locations/moment.js';
import { type Location, parseEndpoints, parseLocation } from '../locations/parse.js';
import { parseDuration, parseRevision, parseSize } from '../locations/quantity.js';
import type { SourceRequest } from '../locations/source.js';
import type { Api, KeySelection, ObjectSelection } from '../model/source.js';
import type {
  connectionOptions,
  historyOption,
  identityOptions,
  objectOptions,
  readOptions,
  selectionOptions,
  spoolOptions,
} from './options.js';
import { type StoredArguments, s3Settings } from './repository-options.js';
import { say, type Terminal } from './terminal.js';

type Parsed<T extends Readonly<Record<string, Options>>> = Partial<InferredOptionTypes<T>>;
export type ConnectionArguments = Parsed<typeof connectionOptions>;
export type SourceArguments = ConnectionArguments &
  Parsed<typeof selectionOptions> &
  Parsed<typeof readOptions> &
  Parsed<typeof spoolOptions> &
  StoredArguments &
  Parsed<typeof historyOption> &
  Parsed<typeof objectOptions> & { readonly from?: string | undefined };

/** Connection settings from flags, and where a flag is missing from etcdctl's environment. */
export function connectionSettings(args: ConnectionArguments, terminal: Terminal): ConnectionSettings {
  const env = (name: string): string | undefined => terminal.env[`ETCDCTL_${name}`] || undefined;
  if (args.password !== undefined || args.user?.includes(':') === true) {
    say(terminal, 'warning: a password on the command line can be read in the process list; use --password-file');
  }
  if (args['insecure-skip-tls-verify'] === true) {
    say(
      terminal,
      "WARNING: --insecure-skip-tls-verify: the server's certificate is NOT checked; whoever answers can read and forge everything",
    );
  }
  return given({
    cacert: args.cacert,
    cert: args.cert,
    key: args.key,
    tlsEnvironment: given({ cacert: env('CACERT'), cert: env('CERT'), key: env('KEY') }),
    user: args.user ?? env('USER'),
    password: args.password ?? (args['password-file'] === undefined && args.user?.includes(':') !== true ? env('PASSWORD') : undefined),
    passwordFile: args['password-file'],
    insecureSkipTlsVerify: args['insecure-skip-tls-verify'],
    dialTimeout: parsed(args, 'dial-timeout', parseDuration),
    commandTimeout: parsed(args, 'command-timeout', parseDuration),
  });
}

/** The fields that have a value. */
function given<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/**
 * The source a command line names, and how it is to be read.
 *
 * @param connection settings of the source's side, where the command has two
 */
export function sourceRequest(
  args: SourceArguments,
  terminal: Terminal,
  connection: ConnectionSettings = connectionSettings(args, terminal),
): SourceRequest {
  return {
    location: sourceLocation(args, terminal),
    connection,
    selection: keySelection(args),
    ...defined('api', args.api as Api | undefined),
    ...defined('via', args.via as 'range' | 'snapshot' | undefined),
    ...defined('allowStale', args['allow-stale']),
    ...defined('revision', parsed(args, 'revision', parseRevision)),
    ...defined('limitRate', parsed(args, 'limit-rate', parseSize)),
    ...defined('maxRecordSize', parsed(args, 'max-record-size', parseSize)),
    ...defined('includeHidden', args['include-hidden']),
    ...defined('walDir', args['wal-dir']),
    ...defined('includeUncommitted', args['include-uncommitted']),
    ...defined('maxMemory', parsed(args, 'max-memory', parseSize)),
    ...defined('allowEmpty', args['allow-empty']),
    ...defined('objects', objectSelection(args)),
    ...defined('history', args.history),
    ...defined('skipHashCheck', args['skip-hash-check']),
    ...defined('open', openWith(args)),
    ...defined('names', args.name),
    ...defined('at', parsed(args, 'at', parseMoment)),
    ...defined('s3', s3Settings(args, terminal)),
    tmpDir: args['tmp-dir'] ?? tmpdir(),
    stdin: terminal.stdin,
  };
}

/** What opens encrypted archives; undefined where nothing was given. */
export function openWith(args: Parsed<typeof identityOptions>): OpenWith | undefined {
  const open = { ...defined('identityFiles', args.identity), ...defined('passphraseFile', args['passphrase-file']) };
  return Object.keys(open).length === 0 ? undefined : open;
}

/** `--from`, or in its place `--endpoints` or $ETCDCTL_ENDPOINTS. */
export function sourceLocation(args: SourceArguments, terminal: Terminal): Location {
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

/**
 * The keys chosen by `--prefix` and `--exclude-prefix`. An empty `--prefix` is all keys, as for etcdctl.
 *
 * @throws FerryError `usage` for an empty exclusion
 */
export function keySelection(args: Parsed<typeof selectionOptions>): KeySelection {
  return {
    prefixes: (args.prefix ?? []).map((text) => Buffer.from(text)),
    excludePrefixes: exclusions('exclude-prefix', args['exclude-prefix']),
  };
}

/**
 * Prefixes of keys that are left out. An empty one leaves out everything: what a script means by it is a variable that it forgot to set.
 *
 * @throws FerryError `usage` for an empty one
 */
export function exclusions(flag: string, prefixes: readonly string[] = []): Buffer[] {
  if (prefixes.includes('')) {
    throw new FerryError('usage', `--${flag} is empty, which is every key`, { hint: 'Give the beginning of the keys that are meant.' });
  }
  return prefixes.map((text) => Buffer.from(text));
}

/** The objects chosen by `--kind` and its like; undefined where no such flag was given. */
function objectSelection(args: Parsed<typeof objectOptions>): ObjectSelection | undefined {
  const { kind, namespace } = args;
  const [excluded, name, prefixes] = [args['exclude-kind'], args['object-name'], args['etcd-prefix']];
  if ([kind, namespace, name, excluded, prefixes].every((list) => list === undefined)) return undefined;
  return { kinds: kind ?? [], excludeKinds: excluded ?? [], namespaces: namespace ?? [], names: name ?? [], etcdPrefixes: prefixes ?? [] };
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
