import { readFile } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import { parseEncryptionConfiguration } from '../kubernetes/encryption/config.js';
import { Encryption } from '../kubernetes/encryption/encryption.js';

/**
 * Opens the API server's EncryptionConfiguration.
 *
 * @throws FerryError `not-found` for a missing file, `usage` for what is none
 */
export async function openEncryption(path: string): Promise<Encryption> {
  const text = await readFile(path, 'utf8').catch((thrown) => {
    throw FerryError.from(thrown, path);
  });
  return new Encryption(parseEncryptionConfiguration(text));
}
