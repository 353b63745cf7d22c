import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { FerryError } from '../errors.js';

/**
 * Reads a file that holds a secret. Where it cannot be read, its path is told only where there is such a directory: else
 * the secret itself may have been given in its place.
 *
 * @param flag that names it
 * @throws FerryError `not-found`, `not-writable` (no permission), `usage` for a directory
 */
export async function readSecretFile(path: string, flag: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (thrown) {
    throw FerryError.from(thrown, (await isPath(path)) ? path : `the file of --${flag}`);
  }
}

async function isPath(text: string): Promise<boolean> {
  return text.includes('/') && (await stat(dirname(text)).catch(() => undefined))?.isDirectory() === true;
}
