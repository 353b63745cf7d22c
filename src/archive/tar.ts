import { pack } from 'tar-stream';
import { FerryError } from '../errors.js';
import { BLOCK } from './format.js';

/** Sizes above this need more than the eleven octal digits of a plain ustar header. */
const MAX_OCTAL = 8 ** 11 - 1;
/** ustar's name field; the prefix field is never used. */
const MAX_NAME = 100;

/**
 * The one tar header an entry of this name and size may have: plain ustar (POSIX.1-1988), a regular
 * file of mode 0600, owner, group and time 0.
 *
 * @param size of the content, in bytes
 * @throws FerryError `failed` for a name or size that a plain ustar header cannot hold
 */
export function tarHeader(name: string, size: number): Promise<Buffer> {
  if (!/^[\x21-\x7e]+$/.test(name) || name.length > MAX_NAME || size > MAX_OCTAL) {
    return Promise.reject(new FerryError('failed', `an entry "${name}" of ${size} bytes does not fit a plain tar header`));
  }
  return new Promise((resolve, reject) => {
    // Only the header is wanted. The stream holds no resource and is left as it is: to destroy it
    // before the content has come is an error to it.
    const tar = pack();
    tar.once('error', reject);
    tar.once('data', (header) => resolve(Buffer.from(header as Uint8Array)));
    tar.entry({ name, size, mode: 0o600, mtime: new Date(0), type: 'file' });
  });
}

/** @returns `size` rounded up to whole tar blocks, in bytes */
export function padded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/** True when every byte of the range is zero. */
export function isZero(bytes: Buffer, start = 0, end = bytes.length): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}
