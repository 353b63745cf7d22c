import type { Writable } from 'node:stream';
import { FerryError } from '../errors.js';
import type { ByteSink } from '../model/bytes.js';
import { checkNewFile, createFile } from '../storage/file.js';
import { streamSink } from '../storage/stdio.js';
import { detect } from './detect.js';
import type { Location } from './parse.js';

/** What a new file can be. */
export type NewFileKind = 'archive' | 'snapshot-file';

/** A file to be written, or stdout. */
export interface NewFile {
  readonly location: Location;
  readonly overwrite: boolean;
  /** Check everything, write nothing. */
  readonly dryRun: boolean;
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
  const { path, ending } = location;
  if (ending === 'archive' || ending === 'snapshot-file') return ending;
  const found = await detect(path);
  if (found === 'archive' || found === 'snapshot-file') return found;
  if (found === 'directory' || found === 'data-dir') throw isDirectory(path);
  const hint = 'End it in .tar for an archive, in .db for a snapshot file.';
  switch (ending) {
    case 'encrypted-archive':
      throw new FerryError('usage', `${path}: this release does not write encrypted archives yet`, {
        hint: 'Write - and pipe it through age.',
      });
    case 'repository':
      throw new FerryError('not-found', `${path}: no such directory`, { hint });
    default:
      throw new FerryError('usage', `${path}: the ending does not tell what to make`, { hint });
  }
}

/**
 * Opens the place a new file is to be written to.
 *
 * @throws FerryError `in-the-way` when something is there already and is not to be overwritten, `usage` for a directory
 */
export async function openNewFile(target: NewFile): Promise<ByteSink> {
  const { location } = target;
  if (location.kind === 'live') throw new FerryError('usage', `${location.text} is a live cluster; a file was expected`);
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

function isDirectory(path: string): FerryError {
  return new FerryError('usage', `${path} is a directory; this release does not keep repositories yet`, {
    hint: 'Name a file: DIR/NAME.tar',
  });
}

/** A sink for dry runs: takes everything, keeps nothing. */
function nowhere(name: string): ByteSink {
  const done = async (): Promise<void> => {};
  return { name, write: done, finish: done, abort: done };
}
