import type { InferredOptionTypes, Options } from 'yargs';
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

/** How a bucket is reached, by flag or as the environment of the AWS SDK says; undefined where neither does. */
export function s3Settings(args: { readonly 's3-endpoint'?: string | undefined }, terminal: Terminal): S3Settings | undefined {
  const endpoint = args['s3-endpoint'] || terminal.env.AWS_ENDPOINT_URL_S3 || terminal.env.AWS_ENDPOINT_URL;
  return endpoint ? { endpoint } : undefined;
}
