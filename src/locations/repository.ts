import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { openDirectoryStore } from '../storage/directory-store.js';
import type { ObjectStore } from '../storage/object-store.js';
import { Repository } from '../storage/repository.js';
import type { S3Settings } from '../storage/s3-settings.js';
import { detect } from './detect.js';
import type { Location } from './parse.js';

export interface RepositoryRequest {
  readonly location: Location;
  /** Make a directory that is not there; a bucket is never made. */
  readonly create?: boolean;
  readonly s3?: S3Settings;
}

/** True for a location that is a repository: a place in a bucket, or a directory that is no data dir. */
export async function isRepository(location: Location): Promise<boolean> {
  if (location.kind === 's3') return location.ending === 'repository';
  return location.kind === 'path' && (await detect(location.path)) === 'directory';
}

/**
 * True when a new archive is to go into a repository: one that is there, or by its ending (or since it is to
 * be made) will be.
 */
export async function willBeRepository(location: Location, create: boolean): Promise<boolean> {
  if (location.kind !== 'path') return isRepository(location);
  const found = await detect(location.path);
  const { ending } = location;
  return found === 'directory' || (found === 'missing' && (ending === 'repository' || (create && ending === 'unknown')));
}

/**
 * Opens a repository.
 *
 * @throws FerryError `usage` for a location that is none, `not-found` for a directory that is missing,
 *   `unreachable` or `unauthorized` for a bucket
 */
export async function openRepository(request: RepositoryRequest, run: RunContext): Promise<Repository> {
  const { location, create = false, s3 = {} } = request;
  if (!(await willBeRepository(location, create))) {
    const missing = location.kind === 'path' && (await detect(location.path)) === 'missing';
    if (missing)
      throw new FerryError('not-found', `${location.text}: no such directory`, { hint: 'Check the path, and that it is mounted.' });
    throw new FerryError('usage', `${location.text} is not a repository`, { hint: 'A repository is a directory, or s3://bucket/prefix.' });
  }
  return new Repository(await openStore(location, create, s3, run));
}

/**
 * Opens the stored bytes of an archive in a repository, or of an object that is one.
 *
 * @throws FerryError as `openRepository` and `Repository.choose` do
 */
export async function openStoredBytes(
  request: {
    readonly location: Location;
    readonly names?: readonly string[];
    readonly at?: number;
    readonly s3?: S3Settings;
  },
  run: RunContext,
): Promise<ByteSource> {
  const { location, names, at } = request;
  if (location.kind === 's3' && location.ending !== 'repository') {
    const { openS3Object } = await import('../storage/s3-store.js');
    return openS3Object(location, request.s3 ?? {}, run.signal);
  }
  const repository = await openRepository(request, run);
  try {
    const name = onlyName(names);
    const archive = await repository.choose({ ...(name === undefined ? {} : { name }), ...(at === undefined ? {} : { at }) }, run);
    return closingToo(await repository.open(archive), repository);
  } catch (thrown) {
    await repository.close();
    throw thrown;
  }
}

/** @throws FerryError `usage` for several */
export function onlyName(names: readonly string[] | undefined): string | undefined {
  if (names === undefined || names.length < 2) return names?.[0];
  throw new FerryError('usage', '--name was given more than once', {
    hint: 'A repository is asked for one NAME. For objects use --object-name.',
  });
}

async function openStore(location: Location, create: boolean, s3: S3Settings, run: RunContext): Promise<ObjectStore> {
  if (location.kind === 'path') return openDirectoryStore(location.path, { create });
  if (location.kind !== 's3') throw new FerryError('usage', `${location.text} is not a repository`);
  const { openS3Store } = await import('../storage/s3-store.js');
  return openS3Store(location, s3, run.signal);
}

function closingToo(bytes: ByteSource, repository: Repository): ByteSource {
  const readInto = bytes.readInto?.bind(bytes);
  return {
    name: bytes.name,
    size: bytes.size,
    read: (offset, length) => bytes.read(offset, length),
    ...(readInto === undefined ? {} : { readInto }),
    close: async () => {
      await bytes.close();
      await repository.close();
    },
  };
}
