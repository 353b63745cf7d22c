import { type FileHandle, open, stat } from 'node:fs/promises';
import { isArchiveStart } from '../archive/detect.js';
import { FerryError } from '../errors.js';
import { looksLikeDataDir } from '../readers/data-dir-layout.js';

/** What is at a path, told by its content. */
export type Found = 'archive' | 'encrypted' | 'snapshot-file' | 'data-dir' | 'directory' | 'empty' | 'unknown' | 'missing';

/** Bytes to look at: enough to see both meta pages of a bbolt file with pages of 64 KiB. */
export const LOOK = 64 * 1024 + 80;
const AGE_HEADER = Buffer.from('age-encryption.org/v1\n');
const BBOLT_MAGIC = 0xed0cdaed;

/**
 * Looks at what a path holds.
 *
 * @throws FerryError `not-writable` when it may not be read, `usage` when it is neither a file nor a directory
 */
export async function detect(path: string): Promise<Found> {
  let handle: FileHandle;
  try {
    const found = await stat(path);
    if (found.isDirectory()) return (await looksLikeDataDir(path)) ? 'data-dir' : 'directory';
    if (!found.isFile()) throw new FerryError('usage', `${path} is neither a file nor a directory`);
    if (found.size === 0) return 'empty';
    handle = await open(path, 'r');
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOENT') return 'missing';
    if (code === 'ENOTDIR') throw throughFile(path, thrown);
    throw FerryError.from(thrown, path);
  }
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(LOOK), 0, LOOK, 0);
    return detectBytes(buffer.subarray(0, bytesRead));
  } finally {
    await handle.close();
  }
}

function throughFile(path: string, cause: unknown): FerryError {
  if (!path.endsWith('/'))
    return new FerryError('usage', `${path}: a part of the path is not a directory`, { hint: 'Check the path.', cause });
  return new FerryError('usage', `${path}: is not a directory, as the slash at its end says`, {
    hint: 'Name a directory, or leave the slash away.',
    cause,
  });
}

/** What the first bytes of a file or stream say it is. */
export function detectBytes(start: Buffer): Found {
  if (start.length === 0) return 'empty';
  if (isArchiveStart(start)) return 'archive';
  if (start.subarray(0, AGE_HEADER.length).equals(AGE_HEADER)) return 'encrypted';
  return isBboltStart(start) ? 'snapshot-file' : 'unknown';
}

/** bbolt's magic number in the first meta page, or in the second at any page size (bbolt db.go, getPageSize). */
function isBboltStart(start: Buffer): boolean {
  for (let page = 0; page + 20 <= start.length; page = page === 0 ? 1024 : page * 2) {
    if (start.readUInt32LE(page + 16) === BBOLT_MAGIC || start.readUInt32BE(page + 16) === BBOLT_MAGIC) return true;
  }
  return false;
}
