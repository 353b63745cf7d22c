const SLASH = 0x2f;
const HEX = Buffer.from('0123456789ABCDEF');

/** 1 for the bytes that stand for themselves in a URL (RFC 3986, section 2.3: unreserved). */
const UNRESERVED = Uint8Array.from({ length: 256 }, (_, byte) => (/[A-Za-z0-9\-._~]/.test(String.fromCharCode(byte)) ? 1 : 0));

/** Percent-encodes bytes for a URL's path (`keep` is `/`) or a form's value (RFC 3986). */
export function percentEncode(bytes: Uint8Array, keep?: '/'): Buffer {
  const kept = keep === undefined ? -1 : SLASH;
  let escaped = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (UNRESERVED[byte] === 0 && byte !== kept) escaped++;
  }
  const out = Buffer.allocUnsafe(bytes.length + 2 * escaped);
  let at = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (UNRESERVED[byte] === 1 || byte === kept) {
      out[at++] = byte;
      continue;
    }
    out[at++] = 0x25;
    out[at++] = HEX[byte >> 4] as number;
    out[at++] = HEX[byte & 15] as number;
  }
  return out;
}
