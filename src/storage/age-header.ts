import { createCipheriv, randomBytes, scrypt } from 'node:crypto';
import { promisify } from 'node:util';
import type { Recipient } from 'age-encryption';
import { FerryError } from '../errors.js';
import { NONCE, TAG } from './age-stream.js';

/** Whom a file is sealed for: recipients, or else a passphrase. */
export interface AgeRecipients {
  /** `age1…` each. */
  readonly recipients: readonly string[];
  readonly passphrase?: string;
}

/** What may open a file. */
export interface AgeIdentities {
  /** `AGE-SECRET-KEY-1…` each. */
  readonly identities: readonly string[];
  readonly passphrase?: string;
}

const SCRYPT_LOG_N = 18;
const SCRYPT_LABEL = 'age-encryption.org/v1/scrypt';
/** A header of a thousand post-quantum recipients is not as long. */
const LONGEST = 4 * 1024 * 1024;
const FIRST_LOOK = 64 * 1024;

/**
 * Makes the header of a new file.
 *
 * @throws FerryError `usage` for a recipient that is none, for none at all, for both kinds at once
 */
export async function makeHeader({ recipients, passphrase }: AgeRecipients): Promise<{ header: Buffer; fileKey: Uint8Array }> {
  const { Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  let fileKey: Uint8Array | undefined;
  // Asked for each file as the others are; learns its key and leaves no trace in the header.
  encrypter.addRecipient({
    wrapFileKey: (key) => {
      fileKey = key;
      return [];
    },
  });
  if ((recipients.length === 0) === (passphrase === undefined)) {
    const found = passphrase === undefined ? 'neither a recipient nor' : 'both recipients and';
    throw new FerryError('usage', `${found} a passphrase to encrypt with`, { hint: 'Give --recipient, or --passphrase-file.' });
  }
  for (const recipient of recipients) addRecipient(encrypter, recipient);
  if (passphrase !== undefined) encrypter.addRecipient(await scryptRecipient(passphrase));
  const empty = Buffer.from(await encrypter.encrypt(new Uint8Array(0)));
  if (fileKey === undefined) throw new FerryError('failed', 'age-encryption gave no file key');
  return { header: empty.subarray(0, empty.length - NONCE - TAG), fileKey };
}

function addRecipient(encrypter: { addRecipient(recipient: string): void }, recipient: string): void {
  try {
    encrypter.addRecipient(recipient);
  } catch (cause) {
    throw new FerryError('usage', `${recipient.startsWith('age1') ? `"${recipient}"` : 'what was given'} is not an age recipient`, {
      hint: 'A recipient looks like age1…',
      cause,
    });
  }
}

/** A passphrase as a recipient (age-encryption.org/v1, "The scrypt recipient type"), off the main thread. */
async function scryptRecipient(passphrase: string): Promise<Recipient> {
  const { Stanza } = await import('age-encryption');
  const salt = randomBytes(16);
  const derive = promisify<string, Buffer, number, object, Buffer>(scrypt);
  const cost = { N: 2 ** SCRYPT_LOG_N, r: 8, p: 1, maxmem: 2 ** (SCRYPT_LOG_N + 11) };
  const key = await derive(passphrase, Buffer.concat([Buffer.from(SCRYPT_LABEL), salt]), 32, cost);
  return {
    wrapFileKey: (fileKey) => {
      const cipher = createCipheriv('chacha20-poly1305', key, Buffer.alloc(12), { authTagLength: TAG });
      const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()]);
      return [new Stanza(['scrypt', salt.toString('base64').replaceAll('=', ''), String(SCRYPT_LOG_N)], body)];
    },
  };
}

/**
 * Opens a header with the first identity or passphrase that does.
 *
 * @param name of the file, for messages
 * @throws FerryError `no-identity` when none opens it, `damaged` for a header that is none or was changed,
 *   `usage` for an identity that is none
 */
export async function openHeader(header: Buffer, { identities, passphrase }: AgeIdentities, name: string): Promise<Uint8Array> {
  const { Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  for (const identity of identities) addIdentity(decrypter, identity);
  if (passphrase !== undefined) decrypter.addPassphrase(passphrase);
  let nobody = false;
  // Asked when all others could not open a header that could be read.
  decrypter.addIdentity({
    unwrapFileKey: () => {
      nobody = true;
      return null;
    },
  });
  try {
    return await decrypter.decryptHeader(header);
  } catch (cause) {
    if (!nobody) throw new FerryError('damaged', `${name}: its age header is damaged`, { cause });
    const given = identities.length > 0 || passphrase !== undefined;
    const message = given ? 'none of the given identities opens it' : 'is encrypted with age, and no identity was given';
    throw new FerryError('no-identity', `${name}: ${message}`, {
      hint: 'Give the right one with --identity FILE, or --passphrase-file FILE.',
      cause,
    });
  }
}

function addIdentity(decrypter: { addIdentity(identity: string): void }, identity: string): void {
  try {
    decrypter.addIdentity(identity);
  } catch (cause) {
    // The text may be a secret with a slip in it: it is not repeated.
    throw new FerryError('usage', 'an identity is not one of age', { hint: 'An identity looks like AGE-SECRET-KEY-1…', cause });
  }
}

/**
 * Finds the end of the header at the start of a file.
 *
 * @param read gives exactly so many bytes from the start
 * @returns the header's bytes, or nothing when it does not end
 */
export async function findHeader(size: number, read: (length: number) => Promise<Buffer>): Promise<Buffer | undefined> {
  for (let look = Math.min(size, FIRST_LOOK); ; look = Math.min(size, look * 8)) {
    const start = await read(look);
    // No line but the last begins so: arguments follow "-> ", bodies are base64.
    const mac = start.indexOf('\n--- ');
    const end = mac < 0 ? -1 : start.indexOf('\n', mac + 1);
    if (end >= 0) return start.subarray(0, end + 1);
    if (look === size || look >= LONGEST) return undefined;
  }
}
