import type { Options } from 'yargs';
import { storedOptions } from './repository-options.js';

type OptionSet = Readonly<Record<string, Options>>;

const CONNECTION = 'Connection:';
const SELECTION = 'Which keys:';
export const OUTPUT = 'Output:';
const FILES = "etcd's own files:";
const KUBERNETES = 'Kubernetes:';
const ENCRYPTION = 'Encryption (age):';

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
  'allow-empty': { type: 'boolean', group: SELECTION, describe: 'Nothing is selected of a source that holds something, and that is meant' },
} as const satisfies OptionSet;

const liveReadOptions = {
  api: { choices: ['v2', 'v3'], describe: 'API to read a live cluster or data dir with', defaultDescription: 'v3' },
  revision: { type: 'string', describe: 'Read at this revision, not the latest' },
  via: { choices: ['range', 'snapshot'], describe: 'How to read a live v3 cluster', defaultDescription: 'range' },
  'allow-stale': {
    type: 'boolean',
    describe: 'Read from a member also that is behind its cluster (--via snapshot) or corrupt, and note that',
  },
  'limit-rate': { type: 'string', describe: 'Read at most this many bytes a second (8M)' },
} as const satisfies OptionSet;

export const hiddenOption = {
  'include-hidden': { type: 'string', array: true, requiresArg: true, describe: 'A hidden v2 node to read too, by path (repeatable)' },
} as const satisfies OptionSet;

export const fileOptions = {
  'skip-hash-check': { type: 'boolean', group: FILES, describe: 'Read a snapshot file without its SHA-256: one copied from a data dir' },
} as const satisfies OptionSet;

export const historyOption = {
  history: { type: 'boolean', group: FILES, describe: 'Keep every revision that a file holds, deletions too' },
} as const satisfies OptionSet;

export const dataDirOptions = {
  'wal-dir': { type: 'string', group: FILES, describe: "Where a data dir's WAL is, if not in it" },
  'include-uncommitted': { type: 'boolean', group: FILES, describe: "Take the tail of a data dir's WAL too, beyond the commit index" },
  'max-memory': { type: 'string', group: FILES, describe: 'Most memory for replaying a data dir', defaultDescription: '2G' },
} as const satisfies OptionSet;

/** Everything that chooses how a source of any kind is read. */
export const readOptions = { ...liveReadOptions, ...hiddenOption, ...fileOptions, ...dataDirOptions } as const satisfies OptionSet;

/** What opens an archive that is encrypted with age. */
export const identityOptions = {
  identity: {
    type: 'string',
    array: true,
    requiresArg: true,
    group: ENCRYPTION,
    describe: 'File of age identities that open an encrypted archive (repeatable)',
  },
  'passphrase-file': { type: 'string', group: ENCRYPTION, describe: 'File that holds the passphrase of an encrypted archive' },
} as const satisfies OptionSet;

/** What every command that may read an archive takes. */
export const spoolOptions = {
  ...identityOptions,
  ...storedOptions,
  'max-record-size': { type: 'string', describe: 'Largest record to accept from an archive', defaultDescription: '64M' },
  'tmp-dir': { type: 'string', describe: 'Where to put what must be spooled', defaultDescription: '$TMPDIR' },
} as const satisfies OptionSet;

export const outputOptions = {
  json: { type: 'boolean', group: OUTPUT, describe: 'Print JSON (docs: scripting)' },
  quiet: { type: 'boolean', alias: 'q', group: OUTPUT, describe: 'No progress, no summary; warnings and errors only' },
} as const satisfies OptionSet;

export const compressOption = {
  compress: {
    choices: ['gzip', 'zstd'],
    defaultDescription: 'gzip',
    describe: 'Compression of the segments (zstd: where this Node has it)',
  },
} as const satisfies OptionSet;

export const objectOptions = {
  kind: {
    type: 'string',
    array: true,
    requiresArg: true,
    group: KUBERNETES,
    describe: 'Only objects of this kind or resource (repeatable)',
  },
  'exclude-kind': { type: 'string', array: true, requiresArg: true, group: KUBERNETES, describe: 'No objects of this kind (repeatable)' },
  namespace: { type: 'string', array: true, requiresArg: true, group: KUBERNETES, describe: 'Only objects of this namespace (repeatable)' },
  name: {
    type: 'string',
    array: true,
    requiresArg: true,
    group: KUBERNETES,
    describe: 'Only objects of this name (repeatable); of a repository: the NAME of its archives',
  },
  'object-name': {
    type: 'string',
    array: true,
    requiresArg: true,
    group: KUBERNETES,
    describe: 'Only objects of this name, whatever the source is',
  },
  'etcd-prefix': {
    type: 'string',
    array: true,
    requiresArg: true,
    group: KUBERNETES,
    describe: "The API server's --etcd-prefix, beside /registry, /kubernetes.io and /openshift.io (repeatable)",
  },
} as const satisfies OptionSet;

export const encryptionOption = {
  'encryption-config': {
    type: 'string',
    group: KUBERNETES,
    describe: "The API server's EncryptionConfiguration, to open what it encrypted",
  },
} as const satisfies OptionSet;

export const runtimeOption = {
  'include-runtime': {
    type: 'boolean',
    group: KUBERNETES,
    describe: 'Write what a Kubernetes running on the target keeps for itself, too',
  },
} as const satisfies OptionSet;
