import { BLOCK, HEADER_ENTRY } from './format.js';

/** Bytes of a first block that may be wrong before it is no longer taken for one of ours. */
const BYTES_OFF = 8;
const NAME = Buffer.from(`${HEADER_ENTRY}\0`);
/** The first header of every archive (see `tarHeader`), without size and checksum. */
const FIXED: readonly (readonly [offset: number, bytes: Buffer])[] = [
  [0, NAME],
  [100, Buffer.from('000600 \x00000000 \x00000000 \x00')],
  [136, Buffer.from('00000000000 ')],
  [156, Buffer.from('0')],
  [257, Buffer.from('ustar\x0000')],
];

/**
 * Tells an archive by its first bytes: a tar whose first entry is `etcdferry.json`. A few flipped
 * bits do not hide it, so that a damaged archive can be told from something else.
 *
 * @param block the first 512 bytes of the file, or all of a shorter one
 */
export function isArchiveStart(block: Buffer): boolean {
  if (block.subarray(0, NAME.length).equals(NAME)) return true;
  if (block.length < BLOCK) return false;
  let off = 0;
  for (const [offset, bytes] of FIXED) {
    for (let i = 0; i < bytes.length; i++) if (block[offset + i] !== bytes[i]) off++;
  }
  return off <= BYTES_OFF;
}
