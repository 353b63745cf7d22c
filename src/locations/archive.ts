import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { openFile } from '../storage/file.js';
import { spool } from '../storage/spool.js';
import type { OpenWith } from './age-keys.js';
import { detect, detectBytes, type Found, LOOK } from './detect.js';
import { isRepository, openStoredBytes } from './repository.js';
import type { SourceRequest } from './source.js';

/**
 * Opens the bytes of an archive: a file, one in a repository, or stdin (spooled, since it cannot seek). One encrypted with
 * age is opened as it is read; nothing of what it holds is put on the disk.
 *
 * @throws FerryError `usage`, `not-found` or `damaged` when the location is none, `no-identity` when nothing
 *   given opens it
 */
export async function openArchiveBytes(
  request: Pick<SourceRequest, 'location' | 'stdin' | 'tmpDir' | 'open' | 'names' | 'at' | 's3'>,
  run: RunContext,
): Promise<ByteSource> {
  const { location } = request;
  if (location.kind === 'live') throw new FerryError('usage', `${location.text} is a live cluster; an archive was expected`);
  if (location.kind === 's3' || (await isRepository(location))) {
    const stored = await openStoredBytes(request, run);
    return plainBytes(stored, stored.name, request.open);
  }
  if (location.kind === 'path') {
    requireArchive(await detect(location.path), location.path);
    return plainBytes(await openFile(location.path), location.path, request.open);
  }
  return plainBytes(await spool(request.stdin, request.tmpDir, run), 'the data on stdin', request.open);
}

/**
 * The bytes of an archive, decrypted where they are encrypted.
 *
 * @param bytes closed with what is returned, and when this throws
 * @param name for messages
 */
export async function plainBytes(bytes: ByteSource, name: string, open: OpenWith | undefined): Promise<ByteSource> {
  try {
    const found = await foundIn(bytes);
    if (found !== 'encrypted') return bytesOfArchive(bytes, found, name);
    const { opened } = await import('./age-keys.js');
    const plain = await opened(bytes, open);
    return bytesOfArchive(plain, await foundIn(plain), name);
  } catch (thrown) {
    await bytes.close();
    throw thrown;
  }
}

async function foundIn(bytes: ByteSource): Promise<Found> {
  return detectBytes(await bytes.read(0, Math.min(bytes.size, LOOK)));
}

function bytesOfArchive(bytes: ByteSource, found: Found, name: string): ByteSource {
  requireArchive(found, name);
  return bytes;
}

/** The limits a reader of archives is given. */
export function archiveLimits(request: Pick<SourceRequest, 'maxRecordSize'>): { maxRecordSize?: number } {
  return request.maxRecordSize === undefined ? {} : { maxRecordSize: request.maxRecordSize };
}

function requireArchive(found: Found, name: string): void {
  switch (found) {
    case 'archive':
    case 'encrypted':
      return;
    case 'missing':
      throw new FerryError('not-found', `${name}: no such file or directory`, {
        hint: 'Check the path, and that what it lies on is mounted.',
      });
    case 'empty':
      throw new FerryError('damaged', `${name} is empty; an archive was expected`);
    case 'directory':
      throw new FerryError('usage', `${name} is a directory without member/ in it; an archive was expected`);
    case 'snapshot-file':
    case 'data-dir':
      throw new FerryError('usage', `${name} is a ${found.replace('-', ' ')}; an archive was expected`);
    case 'unknown':
      throw new FerryError('damaged', `${name} is not an archive, nor anything else etcdferry knows`, {
        hint: 'Expected an archive made by `etcdferry backup`; if it was one, it is damaged at its very start.',
      });
  }
}
