import type { KeyMapping } from '../convert/key-mapping.js';
import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import { isEncrypted } from '../kubernetes/decode.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
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
 * @throws FerryError, from `records()`: `usage` for a bound value that would move as it is, or one that
 *   the configuration does not open
 */
export function movedValues(source: Source, { mapping, encryption, etcdPrefixes = [] }: MoveOptions): Source {
  if (encryption !== undefined) return resealed(source, mapping, encryption, etcdPrefixes);
  return mapping.identity ? source : refusingBound(source, mapping);
}

function resealed(source: Source, mapping: KeyMapping, encryption: Encryption, etcdPrefixes: readonly string[]): Source {
  return replaceValues(source, async (key, value) => {
    if (!isEncrypted(value)) return undefined;
    const opened = await encryption.decrypt(value, key);
    if (!opened.opened) {
      throw new FerryError(
        'usage',
        `${showKey(key)} is encrypted with ${opened.provider} key ${opened.keyName}, which the configuration does not open`,
        {
          hint: 'Give the EncryptionConfiguration that it was written with.',
        },
      );
    }
    const resource = resourceOf(key, opened.value, etcdPrefixes);
    return resource === undefined ? undefined : encryption.encrypt(opened.value, mapping.mapKey(key), resource);
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
