import { decodeStored, isEncrypted, type StoredValue } from '../kubernetes/decode.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';

/** A value as it is shown: opened where it was encrypted, decoded where it is Kubernetes'. */
export interface ShownValue {
  /** The bytes behind it: as stored, or as they were before they were encrypted. */
  readonly bytes: Buffer;
  readonly stored: StoredValue;
  /** Set when it stays encrypted: no configuration was given, or no key of it opens the value. */
  readonly locked: { readonly provider: string; readonly keyName: string } | undefined;
}

/**
 * Makes a stored value readable.
 *
 * @param key the etcd key it is stored under, which AES-GCM and KMS need
 * @throws FerryError `damaged` when it begins as an object and does not parse, `unreachable` for a KMS plugin
 */
export async function showValue(key: Buffer, value: Buffer, encryption: Encryption | undefined): Promise<ShownValue> {
  if (!isEncrypted(value)) return { bytes: value, stored: decodeStored(value), locked: undefined };
  const { encryptionPrefix } = await import('../kubernetes/encryption/prefix.js');
  const { provider = '', keyName = '' } = encryptionPrefix(value) ?? {};
  const opened = await encryption?.decrypt(value, key);
  if (opened?.opened !== true) return { bytes: value, stored: decodeStored(value), locked: { provider, keyName } };
  return { bytes: opened.value, stored: decodeStored(opened.value), locked: undefined };
}
