import { FerryError } from '../errors.js';
import type { ByteSink, ByteSource } from '../model/bytes.js';
import type { AgeIdentities, AgeRecipients } from '../storage/age-header.js';
import { readSecretFile } from './secret-file.js';

/** Whom an archive is encrypted for, as given by flags; files not yet read. */
export interface SealWith {
  /** `age1…` each. */
  readonly recipients?: readonly string[];
  readonly recipientsFiles?: readonly string[];
  readonly passphraseFile?: string;
}

/** What may open an encrypted archive, as given by flags; files not yet read. */
export interface OpenWith {
  readonly identityFiles?: readonly string[];
  readonly passphraseFile?: string;
}

/**
 * A sink that encrypts what it takes; where that fails, what it would write to is aborted.
 *
 * @throws FerryError `usage` for recipients that are none
 */
export async function sealed(sink: ByteSink, recipients: AgeRecipients): Promise<ByteSink> {
  try {
    const { sealingSink } = await import('../storage/age.js');
    return await sealingSink(sink, recipients);
  } catch (thrown) {
    await sink.abort();
    throw thrown;
  }
}

/**
 * The plain bytes of an encrypted file.
 *
 * @param bytes closed with what is returned, and by nobody when this throws
 * @throws FerryError `no-identity`, `damaged`, `usage`, `not-found` for a file of keys that is missing
 */
export async function opened(bytes: ByteSource, open: OpenWith | undefined): Promise<ByteSource> {
  const { openSealed } = await import('../storage/age.js');
  return openSealed(bytes, await readIdentities(open ?? {}));
}

/**
 * Reads what the recipients' flags name.
 *
 * @throws FerryError `usage` for a file with none in it, `not-found`
 */
export async function readRecipients({ recipients = [], recipientsFiles = [], passphraseFile }: SealWith): Promise<AgeRecipients> {
  const fromFiles = await Promise.all(recipientsFiles.map((path) => keysIn(path, 'recipient')));
  return {
    recipients: [...recipients, ...fromFiles.flat()],
    ...(passphraseFile === undefined ? {} : { passphrase: await passphraseIn(passphraseFile) }),
  };
}

async function readIdentities({ identityFiles = [], passphraseFile }: OpenWith): Promise<AgeIdentities> {
  const fromFiles = await Promise.all(identityFiles.map((path) => keysIn(path, 'identity')));
  return {
    identities: fromFiles.flat(),
    ...(passphraseFile === undefined ? {} : { passphrase: await passphraseIn(passphraseFile) }),
  };
}

/** One a line; empty lines and comments are not counted (age(1), "--recipients-file", "--identity"). */
async function keysIn(path: string, what: 'recipient' | 'identity'): Promise<string[]> {
  const lines = (await readSecretFile(path, what === 'identity' ? 'identity' : 'recipients-file'))
    .toString()
    .split(/\r?\n/)
    .map((line) => line.trim());
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length === 0) throw new FerryError('usage', `${path} holds no age ${what}`);
  const strange = keys.findIndex((key) => !(what === 'identity' ? /^AGE-SECRET-KEY-[A-Z0-9-]+$/ : /^age1[a-z0-9]+$/).test(key));
  if (strange < 0) return keys;
  // An identity is a secret, even one that is none: it is not repeated.
  const hint = what === 'identity' ? 'An identity looks like AGE-SECRET-KEY-1…; age-keygen makes one.' : 'A recipient looks like age1….';
  throw new FerryError('usage', `${path}: entry ${strange + 1} is not an age ${what}`, { hint });
}

async function passphraseIn(path: string): Promise<string> {
  const passphrase = (await readSecretFile(path, 'passphrase-file')).toString().replace(/\r?\n$/, '');
  if (passphrase !== '') return passphrase;
  throw new FerryError('usage', `${path} is empty; a passphrase was expected`);
}
