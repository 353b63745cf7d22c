import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { openFile } from '../storage/file.js';
import { spool } from '../storage/spool.js';
import { detect, detectBytes, type Found, LOOK } from './detect.js';
import type { SourceRequest } from './source.js';

/**
 * Opens the bytes of an archive: a file, or stdin (spooled, since it cannot seek).
 *
 * @throws FerryError `usage`, `not-found` or `damaged` when the location is none
 */
export async function openArchiveBytes(
  request: Pick<SourceRequest, 'location' | 'stdin' | 'tmpDir'>,
  run: RunContext,
): Promise<ByteSource> {
  const { location } = request;
  if (location.kind === 'live') throw new FerryError('usage', `${location.text} is a live cluster; an archive was expected`);
  if (location.kind === 'path') {
    requireArchive(await detect(location.path), location.path);
    return openFile(location.path);
  }
  const bytes = await spool(request.stdin, request.tmpDir, run);
  try {
    requireArchive(detectBytes(await bytes.read(0, Math.min(bytes.size, LOOK))), 'the data on stdin');
    return bytes;
  } catch (thrown) {
    await bytes.close();
    throw thrown;
  }
}

/** The limits a reader of archives is given. */
export function archiveLimits(request: Pick<SourceRequest, 'maxRecordSize'>): { maxRecordSize?: number } {
  return request.maxRecordSize === undefined ? {} : { maxRecordSize: request.maxRecordSize };
}

function requireArchive(found: Found, name: string): void {
  switch (found) {
    case 'archive':
      return;
    case 'missing':
      throw new FerryError('not-found', `${name}: no such file or directory`, { hint: 'Check the path.' });
    case 'empty':
      throw new FerryError('damaged', `${name} is empty; an archive was expected`);
    case 'directory':
      throw new FerryError('usage', `${name} is a directory without member/ in it; an archive was expected`);
    case 'encrypted':
      throw new FerryError('no-identity', `${name} is an archive encrypted with age, which this release does not open`, {
        hint: 'Decrypt it on the way: age -d -i KEY FILE | etcdferry … -',
      });
    case 'snapshot-file':
    case 'data-dir':
      throw new FerryError('usage', `${name} is a ${found.replace('-', ' ')}; an archive was expected`);
    case 'unknown':
      throw new FerryError('damaged', `${name} is not an archive, nor anything else etcdferry knows`, {
        hint: 'Expected an archive made by `etcdferry backup`; if it was one, it is damaged at its very start.',
      });
  }
}
