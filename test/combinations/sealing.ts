import { createCipheriv, createDecipheriv, createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';

/** Encryption at rest by an implementation of our own, after Kubernetes' `staging/src/k8s.io/apiserver/pkg/storage/value/encrypt`. */
const GCM = { head: 'k8s:enc:aesgcm:v1:key1:', secret: Buffer.alloc(32, 1) };
const CBC = { head: 'k8s:enc:aescbc:v1:key2:', secret: Buffer.alloc(32, 2) };

export type Seal = 'aesgcm' | 'aescbc';

/** The value that an API server stores under a key; AES-GCM binds it to that key. Latin-1 text, as all keys and values here. */
export function seal(how: Seal, key: string, plain: string): string {
  const nonce = createHash('sha256').update(`${how} ${key} ${plain}`).digest();
  if (how === 'aescbc') {
    const cipher = createCipheriv('aes-256-cbc', CBC.secret, nonce.subarray(0, 16));
    return CBC.head + latin1(nonce.subarray(0, 16), cipher.update(plain, 'latin1'), cipher.final());
  }
  const cipher = createCipheriv('aes-256-gcm', GCM.secret, nonce.subarray(0, 12)).setAAD(Buffer.from(key, 'latin1'));
  return GCM.head + latin1(nonce.subarray(0, 12), cipher.update(plain, 'latin1'), cipher.final(), cipher.getAuthTag());
}

/** What an API server reads of a value stored under a key; undefined where it does not open. */
export function unseal(key: string, value: string): string | undefined {
  const body = (head: string): Buffer => Buffer.from(value.slice(head.length), 'latin1');
  try {
    if (value.startsWith(CBC.head)) {
      const bytes = body(CBC.head);
      const decipher = createDecipheriv('aes-256-cbc', CBC.secret, bytes.subarray(0, 16));
      return latin1(decipher.update(bytes.subarray(16)), decipher.final());
    }
    if (!value.startsWith(GCM.head)) return undefined;
    const bytes = body(GCM.head);
    const decipher = createDecipheriv('aes-256-gcm', GCM.secret, bytes.subarray(0, 12)).setAAD(Buffer.from(key, 'latin1'));
    decipher.setAuthTag(bytes.subarray(-16));
    return latin1(decipher.update(bytes.subarray(12, -16)), decipher.final());
  } catch {
    return undefined;
  }
}

/** Writes the EncryptionConfiguration that opens both. */
export function writeEncryptionConfiguration(file: string): void {
  const provider = (name: string, key: string, secret: Buffer): string =>
    `      - ${name}: {keys: [{name: ${key}, secret: ${secret.toString('base64')}}]}`;
  writeFileSync(
    file,
    [
      'kind: EncryptionConfiguration',
      'apiVersion: apiserver.config.k8s.io/v1',
      'resources:',
      '  - resources: [secrets, configmaps]',
      '    providers:',
      provider('aesgcm', 'key1', GCM.secret),
      provider('aescbc', 'key2', CBC.secret),
      '      - identity: {}',
      '',
    ].join('\n'),
  );
}

function latin1(...parts: readonly Buffer[]): string {
  return Buffer.concat(parts).toString('latin1');
}
