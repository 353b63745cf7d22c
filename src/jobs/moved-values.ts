import type { KeyMapping } from '../convert/key-mapping.js';
import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import { isEncrypted } from '../kubernetes/decode.js';
import type { Encryption, ResourceName } from '../kubernetes/encryption/encryption.js';
import { isBoundToKey } from '../kubernetes/encryption/prefix.js';
import { resourceOf } from '../kubernetes/select.js';
import type { Source } from '../model/source.js';
import { replaceValues } from './replace-values.js';

export interface MoveOptions {
  readonly mapping: KeyMapping;
  /** Seals every encrypted value anew, for the key it moves to. */
  readonly encryption?: Encryption;
  readonly etcdPrefixes?: readonly string[];
}

/**
 * Sees to values that Kubernetes encrypted, where keys are renamed: AES-GCM and KMS bind a value to
 * its key, so under another key it opens only when it was sealed anew.
 *
 * @returns the same source where no key is renamed and nothing is to be sealed anew
 * @throws FerryError, from `records()`: `usage` for a bound value that would move as it is, one that
 *   the configuration does not open, or one for which it has no provider to seal it with
 */
export function movedValues(source: Source, { mapping, encryption, etcdPrefixes = [] }: MoveOptions): Source {
  if (encryption !== undefined) return resealed(source, mapping, encryption, etcdPrefixes);
  return mapping.identity ? source : refusingBound(source, mapping);
}

function resealed(source: Source, mapping: KeyMapping, encryption: Encryption, etcdPrefixes: readonly string[]): Source {
  return replaceValues(source, async (key, value) => {
    if (!isEncrypted(value)) return undefined;
    const opened = await encryption.decrypt(value, key);
    if (!opened.opened) throw notOpened(key, opened);
    const to = mapping.mapKey(key);
    const was = resourceOf(key, opened.value, etcdPrefixes);
    if (was === undefined && isBoundToKey(value) && !to.equals(key)) throw unknownPath(key);
    // An API server goes by the path that it reads; a copy elsewhere is sealed as its original was.
    const resource = resourceOf(to, opened.value, etcdPrefixes) ?? was;
    if (resource === undefined) return leftAsItIs(source, key);
    if (encryption.providerFor(resource) === undefined) throw noProvider(key, resource);
    return encryption.encrypt(opened.value, to, resource);
  });
}

function leftAsItIs(source: Source, key: Buffer): undefined {
  const message = 'encrypted values that were not sealed anew: their keys are no paths of a known --etcd-prefix';
  source.notes.add('value-not-resealed', message, { example: showKey(key) });
}

function notOpened(key: Buffer, { provider, keyName }: { readonly provider: string; readonly keyName: string }): FerryError {
  const message = `${showKey(key)} is encrypted with ${provider} key ${keyName}, which the configuration does not open`;
  return new FerryError('usage', message, { hint: 'Give the EncryptionConfiguration that it was written with.' });
}

function unknownPath(key: Buffer): FerryError {
  const message = `${showKey(key)} is encrypted for this very key, and nothing tells which resource to seal it anew for`;
  return new FerryError('usage', message, {
    hint: 'Give the --etcd-prefix of the API server that wrote it, beside --reencrypt, or leave the key out with --exclude-prefix.',
  });
}

/** Without a provider it would be stored for everybody to read. */
function noProvider(key: Buffer, { group, resource }: ResourceName): FerryError {
  const name = group === '' ? resource : `${resource}.${group}`;
  return new FerryError('usage', `${showKey(key)} is encrypted, and the configuration has no provider for ${name}`, {
    hint: 'Name the resource in the EncryptionConfiguration, with the provider identity first to store it in the clear, or give the --etcd-prefix if its path was read wrongly.',
  });
}

function refusingBound(source: Source, mapping: KeyMapping): Source {
  return replaceValues(source, (key, value) => {
    if (isBoundToKey(value) && !mapping.mapKey(key).equals(key)) {
      throw new FerryError('usage', `${showKey(key)} is encrypted for this very key, and would not open under another`, {
        hint: 'Give --encryption-config FILE --reencrypt to seal it anew for its new key.',
      });
    }
    return undefined;
  });
}
