import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';

/** Plain bytes in every chunk but the last, which has 1 to so many (none only in an empty file). */
export const CHUNK = 64 * 1024;
/** Bytes that sealing adds to a chunk: Poly1305's tag. */
export const TAG = 16;
/** Bytes of the nonce that stands between header and chunks. */
export const NONCE = 16;

const ALGORITHM = 'chacha20-poly1305';

/**
 * The key of a file's chunks (age-encryption.org/v1, "Payload").
 *
 * @param nonce the one between header and chunks
 */
export function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): Buffer {
  return Buffer.from(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
}

/** Seals the chunk of a file that has this position, from 0. */
export function sealChunk(key: Uint8Array, position: number, last: boolean, pieces: readonly Uint8Array[]): Buffer {
  const cipher = createCipheriv(ALGORITHM, key, chunkNonce(position, last), { authTagLength: TAG });
  const sealed = pieces.map((piece) => cipher.update(piece));
  sealed.push(cipher.final(), cipher.getAuthTag());
  return Buffer.concat(sealed);
}

/** Opens a chunk; nothing when it is not what was sealed with this key, at this position, as the last or not. */
export function openChunk(key: Uint8Array, position: number, last: boolean, sealed: Buffer): Buffer | undefined {
  if (sealed.length < TAG) return undefined;
  const end = sealed.length - TAG;
  const decipher = createDecipheriv(ALGORITHM, key, chunkNonce(position, last), { authTagLength: TAG });
  decipher.setAuthTag(sealed.subarray(end));
  const plain = decipher.update(sealed.subarray(0, end));
  try {
    decipher.final();
    return plain;
  } catch {
    return undefined;
  }
}

/** STREAM's nonce: the position in 11 bytes, and whether it is the last. */
function chunkNonce(position: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(position, 5, 6);
  nonce[11] = last ? 1 : 0;
  return nonce;
}
