import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';

// What Kubernetes does with a key (apiserver pkg/storage/value/encrypt). Opening gives undefined when the
// key, the associated data or the bytes are not those that were sealed; CBC cannot always tell. Sealing
// takes its nonce from what is sealed (as RFC 5297 and 8452 do), not from chance: the same value for the
// same key and secret gives the same bytes, so what was restored once is found equal the second time.

/** AES-GCM: nonce 12, ciphertext, tag 16. `aad`: the etcd key, which the value is bound to. */
export function openGcm(secret: Buffer, body: Buffer, aad: Buffer): Buffer | undefined {
  if (body.length < 28) return undefined;
  const decipher = createDecipheriv(gcm(secret), secret, body.subarray(0, 12), { authTagLength: 16 });
  decipher.setAAD(aad);
  decipher.setAuthTag(body.subarray(-16));
  return finished(decipher, body.subarray(12, -16));
}

export function sealGcm(secret: Buffer, plain: Buffer, aad: Buffer): Buffer {
  const nonce = syntheticNonce(secret, aad, plain, 12);
  const cipher = createCipheriv(gcm(secret), secret, nonce, { authTagLength: 16 });
  cipher.setAAD(aad);
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

/** AES-CBC with PKCS#7: initial vector 16, ciphertext. Nothing is authenticated. */
export function openCbc(secret: Buffer, body: Buffer): Buffer | undefined {
  if (body.length < 32 || body.length % 16 !== 0) return undefined;
  return finished(createDecipheriv(`aes-${secret.length * 8}-cbc`, secret, body.subarray(0, 16)), body.subarray(16));
}

/** @param key the etcd key the value is stored under; only the initial vector follows from it */
export function sealCbc(secret: Buffer, plain: Buffer, key: Buffer): Buffer {
  const iv = syntheticNonce(secret, key, plain, 16);
  const cipher = createCipheriv(`aes-${secret.length * 8}-cbc`, secret, iv);
  return Buffer.concat([iv, cipher.update(plain), cipher.final()]);
}

/** NaCl's secretbox: nonce 24, tag 16, ciphertext. */
export function openSecretbox(secret: Buffer, body: Buffer): Buffer | undefined {
  if (body.length < 40) return undefined;
  try {
    return Buffer.from(xsalsa20poly1305(secret, body.subarray(0, 24)).decrypt(body.subarray(24)));
  } catch {
    return undefined;
  }
}

/** @param key the etcd key the value is stored under; only the nonce follows from it */
export function sealSecretbox(secret: Buffer, plain: Buffer, key: Buffer): Buffer {
  const nonce = syntheticNonce(secret, key, plain, 24);
  return Buffer.concat([nonce, xsalsa20poly1305(secret, nonce).encrypt(plain)]);
}

/** KMS v2 with a seed: 32 bytes of info before what AES-GCM makes with the key derived from both. */
export function openSeeded(seed: Buffer, body: Buffer, aad: Buffer): Buffer | undefined {
  return body.length < 60 ? undefined : openGcm(expand(seed, body.subarray(0, 32)), body.subarray(32), aad);
}

export function sealSeeded(seed: Buffer, plain: Buffer, aad: Buffer): Buffer {
  const info = randomBytes(32);
  return Buffer.concat([info, sealGcm(expand(seed, info), plain, aad)]);
}

/** HKDF-Expand with SHA-256 (RFC 5869, 2.3), one block; Node's own hkdf extracts first. */
function expand(seed: Buffer, info: Buffer): Buffer {
  return createHmac('sha256', seed)
    .update(info)
    .update(Buffer.from([1]))
    .digest();
}

const NONCE_LABEL = 'etcdferry nonce';

/** Two different values or keys share a nonce as rarely as with one drawn by chance; only equal ones show that they are. */
function syntheticNonce(secret: Buffer, key: Buffer, plain: Buffer, size: 12 | 16 | 24): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(key.length);
  const nonceSecret = createHmac('sha256', secret).update(NONCE_LABEL).digest();
  return createHmac('sha256', nonceSecret).update(length).update(key).update(plain).digest().subarray(0, size);
}

function gcm(secret: Buffer): 'aes-128-gcm' | 'aes-192-gcm' | 'aes-256-gcm' {
  return secret.length === 16 ? 'aes-128-gcm' : secret.length === 24 ? 'aes-192-gcm' : 'aes-256-gcm';
}

function finished(decipher: { update(data: Buffer): Buffer; final(): Buffer }, body: Buffer): Buffer | undefined {
  try {
    return Buffer.concat([decipher.update(body), decipher.final()]);
  } catch {
    return undefined;
  }
}
