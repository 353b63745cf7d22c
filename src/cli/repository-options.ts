import type { InferredOptionTypes, Options } from 'yargs';
import { FerryError } from '../errors.js';
import type { S3Settings } from '../storage/s3-settings.js';
import type { Terminal } from './terminal.js';

type OptionSet = Readonly<Record<string, Options>>;

const REPOSITORY = 'Repositories:';

/** How a bucket is reached. */
export const s3Options = {
  's3-endpoint': { type: 'string', group: REPOSITORY, describe: "URL of an S3 server that is not Amazon's [$AWS_ENDPOINT_URL_S3]" },
} as const satisfies OptionSet;

/** What chooses an archive in a repository. */
export const storedOptions = {
  at: { type: 'string', group: REPOSITORY, describe: 'The newest archive of then or before (2026-11-23T03:15Z, 2026-11-23)' },
  ...s3Options,
} as const satisfies OptionSet;

export type StoredArguments = Partial<InferredOptionTypes<typeof storedOptions>>;

/**
 * How a bucket is reached, by flag or as the environment of the AWS SDK says; undefined where neither does.
 *
 * @throws FerryError `usage` for what is no URL of a server, or carries credentials
 */
export function s3Settings(args: { readonly 's3-endpoint'?: string | undefined }, terminal: Terminal): S3Settings | undefined {
  const endpoint = args['s3-endpoint'] || terminal.env.AWS_ENDPOINT_URL_S3 || terminal.env.AWS_ENDPOINT_URL;
  if (!endpoint) return undefined;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const credentials = url !== undefined && (url.username !== '' || url.password !== '');
  // What may hold a secret is not repeated.
  if (credentials)
    throw new FerryError('usage', '--s3-endpoint carries a user or password', { hint: 'The AWS SDK finds credentials elsewhere.' });
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return { endpoint };
  throw new FerryError('usage', '--s3-endpoint is not a URL of a server', { hint: 'Write it like https://minio:9000.' });
}

/** How long to wait for the locks of other runs. */
export const lockOptions = {
  wait: {
    type: 'string',
    group: REPOSITORY,
    describe: 'How long to wait for the lock of another run (10m)',
    defaultDescription: 'not at all',
  },
} as const satisfies OptionSet;

/** What is said of a repository that is written to. */
export const targetOptions = {
  create: { type: 'boolean', group: REPOSITORY, describe: 'Make the directory of a repository that is not there' },
  ...lockOptions,
} as const satisfies OptionSet;

/** What `backup` takes for repositories alone. */
export const backupTargetOptions = {
  ...targetOptions,
  'skip-unchanged': { type: 'boolean', group: REPOSITORY, describe: 'Write nothing if nothing changed since the newest archive' },
} as const satisfies OptionSet;

/** Flags of `backup` that only a repository has. */
export const repositoryOnly = [
  ...(['create', 'wait', 'skip-unchanged', 'prune'] as const),
  ...(['keep-last', 'keep-hourly', 'keep-daily', 'keep-weekly', 'keep-monthly', 'keep-yearly', 'keep-within'] as const),
] as const;

/** Which archives of a repository a command is about. */
export const namesOption = {
  name: { type: 'string', array: true, requiresArg: true, group: REPOSITORY, describe: 'Only archives of this NAME (repeatable)' },
} as const satisfies OptionSet;
