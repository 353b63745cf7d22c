/** What the beginning of an encrypted value says: `k8s:enc:aescbc:v1:key1:`. */
export interface EncryptionPrefix {
  /** `aescbc`, `aesgcm`, `secretbox`, `kms`, or what a newer Kubernetes calls it. */
  readonly provider: string;
  readonly version: string;
  /** The key's name, of KMS the plugin's, as far as it goes without a colon; a name may have colons in it. */
  readonly keyName: string;
  /** All after `k8s:enc:<provider>:<version>:`: the name, a colon, and the body. */
  readonly rest: Buffer;
}

/** @returns undefined when the value is not encrypted */
export function encryptionPrefix(bytes: Buffer): EncryptionPrefix | undefined {
  const match = /^k8s:enc:([^:\0]*):([^:\0]*):/.exec(bytes.toString('latin1', 0, 64));
  if (match === null) return undefined;
  const rest = bytes.subarray(match[0].length);
  const colon = rest.indexOf(0x3a);
  return { provider: match[1] as string, version: match[2] as string, keyName: rest.toString('utf8', 0, Math.max(colon, 0)), rest };
}

/**
 * Whether an encrypted value opens only under the key it was written to: AES-GCM and KMS authenticate
 * the key's path with the value (KMS v1 only since Kubernetes 1.25, which its bytes do not tell).
 * Such a value must be encrypted anew to be moved.
 */
export function isBoundToKey(bytes: Buffer): boolean {
  const prefix = encryptionPrefix(bytes);
  return prefix !== undefined && prefix.provider !== 'aescbc' && prefix.provider !== 'secretbox';
}
