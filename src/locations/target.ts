import type { Writable } from 'node:stream';
import { FerryError } from '../errors.js';
import type { ByteSink } from '../model/bytes.js';
import { createFile } from '../storage/file.js';
import { streamSink } from '../storage/stdio.js';
import { detect } from './detect.js';
import type { Location } from './parse.js';

export interface ArchiveTarget {
  readonly location: Location;
  readonly overwrite: boolean;
  /** Check everything, write nothing. */
  readonly dryRun: boolean;
  /** Where an archive goes when the location is `-`. */
  readonly stdout: Writable;
}

/**
 * Opens the place a new archive is to be written to.
 *
 * @throws FerryError `usage` when the location cannot become an archive, `in-the-way` when something
 *   is there already and is not to be overwritten
 */
export async function openArchiveSink(target: ArchiveTarget): Promise<ByteSink> {
  const { location } = target;
  if (location.kind === 'live') {
    throw new FerryError('usage', `backup writes archives; ${location.text} is a live cluster`, {
      hint: 'Use restore or migrate to write into one.',
    });
  }
  if (location.kind === 'stdio') return target.dryRun ? nowhere('stdout') : streamSink(target.stdout, 'stdout');
  const found = await detect(location.path);
  if (found === 'missing') requireArchiveEnding(location.path, location.ending);
  else if (found === 'directory' || found === 'data-dir') throw isDirectory(location.path);
  else if (!target.overwrite) throw inTheWay(location.path);
  return target.dryRun ? nowhere(location.path) : createFile(location.path, { overwrite: target.overwrite });
}

function requireArchiveEnding(path: string, ending: string): void {
  if (ending === 'archive') return;
  const hint = 'End it in .tar for an archive.';
  switch (ending) {
    case 'encrypted-archive':
      throw new FerryError('usage', `${path}: this release does not write encrypted archives yet`, {
        hint: 'Write - and pipe it through age.',
      });
    case 'repository':
      throw new FerryError('not-found', `${path}: no such directory`, { hint });
    case 'snapshot-file':
      throw new FerryError('usage', `${path}: backup writes archives, not snapshot files`, { hint });
    default:
      throw new FerryError('usage', `${path}: the ending does not tell what to make`, { hint });
  }
}

function isDirectory(path: string): FerryError {
  return new FerryError('usage', `${path} is a directory; this release does not keep repositories yet`, {
    hint: 'Name a file: DIR/NAME.tar',
  });
}

function inTheWay(path: string): FerryError {
  return new FerryError('in-the-way', `${path} already exists`, { hint: 'Choose another name, or give --overwrite.' });
}

/** A sink for dry runs: takes everything, keeps nothing. */
function nowhere(name: string): ByteSink {
  const done = async (): Promise<void> => {};
  return { name, write: done, finish: done, abort: done };
}
