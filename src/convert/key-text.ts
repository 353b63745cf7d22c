import { isUtf8 } from 'node:buffer';
import { harmless, hexEscape } from '../model/shown-text.js';

const SHOWN_BYTES = 200;

/**
 * A key as messages and notes show it: quoted text where it is UTF-8, else `0x` and its bytes in
 * hex; a long one is cut.
 */
export function showKey(key: Buffer): string {
  const shown = key.subarray(0, SHOWN_BYTES);
  const cut = key.length > SHOWN_BYTES ? `… (${key.length} bytes)` : '';
  const text = shown.toString('utf8');
  // A cut through a character shows as a replacement character; better than hex for the whole key.
  const isText = Buffer.from(text).equals(shown) || (cut !== '' && Buffer.from(key.toString('utf8')).equals(key));
  return isText ? `${harmless(JSON.stringify(text))}${cut}` : `0x${shown.toString('hex')}${cut}`;
}

/** A key as one safe piece of text: UTF-8 as it is, control characters and other bytes as `\xNN`, no two keys alike. */
export function formatKey(key: Buffer): string {
  if (isUtf8(key)) return harmless(key.toString().replaceAll('\\', '\\\\'));
  return [...key].map((byte) => (byte >= 0x20 && byte < 0x7f && byte !== 0x5c ? String.fromCharCode(byte) : hexEscape(byte))).join('');
}
