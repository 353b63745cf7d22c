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
  return isText ? `${JSON.stringify(text)}${cut}` : `0x${shown.toString('hex')}${cut}`;
}
