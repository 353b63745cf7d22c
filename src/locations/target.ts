import type { Writable } from 'node:stream';
import { FerryError } from '../errors.js';
import type { ByteSink } from '../model/bytes.js';
import { checkNewFile, createFile } from '../storage/file.js';
import type { S3Settings } from '../storage/s3-settings.js';
import { streamSink } from '../storage/stdio.js';
import type { SealWith } from './age-keys.js';
import { detect } from './detect.js';
import type { Location, S3Location } from './parse.js';

/** What a new file can be. */
export type NewFileKind = 'archive' | 'snapshot-file';

/** A file to be written, or stdout. */
export interface NewFile {
  readonly location: Location;
  readonly overwrite: boolean;
  /** Whom an archive is encrypted for; one that is to be must end in `.tar.age`, or go to stdout. */
  readonly seal?: SealWith;
  /** Check everything, write nothing. */
  readonly dryRun: boolean;
  /** How a bucket is reached. */
  readonly s3?: S3Settings;
  /** Where an archive goes when the location is `-`. */
  readonly stdout: Writable;
}

/**
 * What a location is to become: told by its ending, or where a file is there already by that file.
 *
 * @throws FerryError `usage` when it can be neither
 */
export async function newFileKind(location: Location): Promise<NewFileKind> {
  if (location.kind === 'stdio') return 'archive';
  if (location.kind === 'live') throw new FerryError('usage', `${location.text} is a live cluster; a file was expected`);
  if (location.kind === 's3') {
    if (location.ending !== 'repository') return 'archive';
    throw new FerryError('usage', `${location.text} is a repository; a file was expected`);
  }
  const { path, ending } = location;
  if (ending === 'archive' || ending === 'snapshot-file') return ending;
  if (ending === 'encrypted-archive') return 'archive';
  const found = await detect(path);
  if (found === 'archive' || found === 'snapshot-file') return found;
  if (found === 'directory' || found === 'data-dir') throw isDirectory(path);
  const hint = 'End it in .tar for an archive, in .db for a snapshot file.';
  switch (ending) {
    case 'repository':
      throw new FerryError('not-found', `${path}: no such directory`, { hint });
    default:
      throw new FerryError('usage', `${path}: the ending does not tell what to make`, {
        hint: found === 'missing' ? `${hint} If it is a repository, check that it is mounted.` : hint,
      });
  }
}

/**
 * Opens the place a new file is to be written to.
 *
 * @param signal ends every wait for a bucket
 * @throws FerryError `in-the-way` when something is there already and is not to be overwritten, `usage` for a
 *   directory, and for a name that does not fit whether the archive is to be encrypted
 */
export async function openNewFile(target: NewFile, signal: AbortSignal): Promise<ByteSink> {
  const { location, seal } = target;
  checkSealed(location, seal);
  if (seal === undefined) return openPlain(target, signal);
  // Told before anything is made: what the recipients' files hold may be none.
  const { readRecipients, sealed } = await import('./age-keys.js');
  const recipients = await readRecipients(seal);
  return sealed(await openPlain(target, signal), recipients);
}

function checkSealed(location: Location, seal: SealWith | undefined): void {
  if (!('ending' in location)) return;
  const encrypted = location.ending === 'encrypted-archive';
  if (encrypted && seal === undefined) {
    throw new FerryError('usage', `${location.text}: an encrypted archive needs someone who can open it`, {
      hint: 'Give --recipient age1…, --recipients-file or --passphrase-file.',
    });
  }
  if (encrypted || seal === undefined) return;
  throw new FerryError('usage', `${location.text}: what is encrypted must not look as if it were not`, {
    hint: 'End its name in .tar.age.',
  });
}

async function openPlain(target: NewFile, signal: AbortSignal): Promise<ByteSink> {
  const { location } = target;
  if (location.kind === 'live') throw new FerryError('usage', `${location.text} is a live cluster; a file was expected`);
  if (location.kind === 's3') return target.dryRun ? nowhere(location.text) : s3Object(location, target, signal);
  if (location.kind === 'stdio') return target.dryRun ? nowhere('stdout') : streamSink(target.stdout, 'stdout');
  const found = await detect(location.path);
  if (found === 'directory' || found === 'data-dir') throw isDirectory(location.path);
  if (found !== 'missing' && !target.overwrite) {
    throw new FerryError('in-the-way', `${location.path} already exists`, { hint: 'Choose another name, or give --overwrite.' });
  }
  if (!target.dryRun) return createFile(location.path, { overwrite: target.overwrite });
  await checkNewFile(location.path, { overwrite: target.overwrite });
  return nowhere(location.path);
}

async function s3Object(location: S3Location, { s3 = {}, overwrite }: NewFile, signal: AbortSignal): Promise<ByteSink> {
  const { createS3Object } = await import('../storage/s3-store.js');
  return createS3Object(location, s3, { overwrite, signal });
}

function isDirectory(path: string): FerryError {
  return new FerryError('usage', `${path} is a directory; a file was expected`, {
    hint: 'Name a file: DIR/NAME.tar',
  });
}

/** A sink for dry runs: takes everything, keeps nothing. */
function nowhere(name: string): ByteSink {
  const done = async (): Promise<void> => {};
  return { name, write: done, finish: done, abort: done };
}
