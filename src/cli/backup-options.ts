import type { ArgumentsCamelCase, Argv, Options } from 'yargs';
import { sealOptions } from './age-options.js';
import { type Declared, examples, exitStatus } from './command.js';
import { kindsOf, type SettingKeys } from './config-values.js';
import {
  compressOption,
  connectionOptions,
  historyOption,
  objectOptions,
  outputOptions,
  readOptions,
  selectionOptions,
  spoolOptions,
} from './options.js';
import { backupTargetOptions } from './repository-options.js';
import { retentionOptions } from './retention-options.js';

const UNATTENDED = 'Unattended:';
const PROFILES = 'Profiles:';

/** For backups that nobody watches. */
const watchOptions = {
  metrics: { type: 'string', group: UNATTENDED, describe: 'Write metrics for Prometheus to this file, in one step' },
  healthcheck: {
    type: 'string',
    group: UNATTENDED,
    describe: 'URL to tell of start (/start), success and failure (/fail), as healthchecks.io has it',
  },
} as const satisfies Readonly<Record<string, Options>>;

const profileOptions = {
  profile: { type: 'string', array: true, requiresArg: true, group: PROFILES, describe: 'Profile of the configuration file (repeatable)' },
  'all-profiles': { type: 'boolean', group: PROFILES, describe: 'All profiles of the configuration file, side by side' },
  parallel: { type: 'number', group: PROFILES, describe: 'How many of them at a time', defaultDescription: '4' },
  config: {
    type: 'string',
    group: PROFILES,
    describe: 'Configuration file [$ETCDFERRY_CONFIG, ./etcdferry.yaml, ~/.config/etcdferry/etcdferry.yaml]',
  },
} as const satisfies Readonly<Record<string, Options>>;

/** What a profile may say of itself. */
const ownOptions = {
  from: { type: 'string', describe: 'Source: a live cluster (http(s)://host:port[,…]), a snapshot file, a data dir, an archive' },
  to: {
    type: 'string',
    describe: 'A repository (directory, s3://bucket/prefix), or an archive: a file ending in .tar (encrypted: .tar.age), - for stdout',
  },
  overwrite: { type: 'boolean', describe: 'Replace an existing file' },
  ...compressOption,
  ...historyOption,
  ...readOptions,
  ...selectionOptions,
  ...objectOptions,
  ...spoolOptions,
  ...sealOptions,
  ...backupTargetOptions,
  prune: { type: 'boolean', group: 'Retention:', describe: 'Afterwards, remove the archives of this NAME that the policy does not keep' },
  ...retentionOptions,
  ...watchOptions,
} as const satisfies Readonly<Record<string, Options>>;

const options = {
  ...ownOptions,
  'dry-run': { type: 'boolean', describe: 'Read everything, write nothing' },
  ...connectionOptions,
  ...profileOptions,
  ...outputOptions,
} as const;

export const buildBackup = (yargs: Argv) =>
  yargs
    .options(options)
    .epilogue(
      examples(
        ['back up a local cluster', 'etcdferry backup --from http://127.0.0.1:2379 --to etcd.tar'],
        ['with mTLS', 'etcdferry backup --from https://etcd-1:2379 --cacert ca.pem --cert c.pem --key k.pem --to etcd.tar'],
        [
          'encrypted for whoever holds the key',
          'etcdferry backup --from http://127.0.0.1:2379 --to etcd.tar.age --recipients-file ops.txt',
        ],
        ['every night, into a repository', 'etcdferry backup --from http://127.0.0.1:2379 --to /backups --name prod --skip-unchanged'],
        ['the same as the configuration file has it, pruning too', 'etcdferry backup --profile prod'],
        ['from the files of a stopped member', 'etcdferry backup --from /var/lib/etcd --api v3 --to etcd.tar'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 3, 10, 11, 12, 14, 130));

export type BackupArguments = Declared<typeof buildBackup>;
export type ParsedBackup = ArgumentsCamelCase<BackupArguments>;

/** What each section of the configuration file may hold: the flags of `backup`, by their names. */
export function backupSettings(): SettingKeys {
  return {
    clusters: { ...kindsOf({ ...connectionOptions, ...readOptions }), endpoints: 'words' },
    repositories: {
      location: 'string',
      ...kindsOf({ ...backupTargetOptions, ...sealOptions, 's3-endpoint': spoolOptions['s3-endpoint'] }),
    },
    policies: kindsOf(retentionOptions),
    profiles: { cluster: 'string', repository: 'string', policy: 'string', ...kindsOf(ownOptions) },
  };
}
