import { createHash } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { readInto } from './read-into.js';

/** Bytes of SHA-256 that follow the pages of a snapshot file. */
export const TRAILER_BYTES = 32;
const PIECE_BYTES = 1024 * 1024;

/** True when a file of this size is a snapshot file with its hash, as etcd tells it (etcdutl snapshot/v3_snapshot.go). */
export function hasTrailer(size: number): boolean {
  return size % 512 === TRAILER_BYTES;
}

/**
 * Checks the SHA-256 at the end of a snapshot file.
 *
 * @throws FerryError `damaged` when there is none, or it is not that of the bytes before it
 */
export async function proveTrailer(source: ByteSource, signal: AbortSignal): Promise<void> {
  if (!hasTrailer(source.size)) {
    throw new FerryError('damaged', `${source.name}: there is no SHA-256 at its end, as every snapshot file has`, {
      hint: 'If it was copied from a data dir, nothing proves it whole: to read it all the same, use --skip-hash-check.',
    });
  }
  const end = source.size - TRAILER_BYTES;
  const found = await sha256Of(source, end, signal);
  const expected = await source.read(end, TRAILER_BYTES);
  if (found.equals(expected)) return;
  throw new FerryError(
    'damaged',
    `${source.name}: its SHA-256 is ${found.toString('hex')}, where its last 32 bytes say ${expected.toString('hex')}`,
    { hint: 'The file is damaged: take it from its origin again, or use another one.' },
  );
}

async function sha256Of(source: ByteSource, end: number, signal: AbortSignal): Promise<Buffer> {
  const hash = createHash('sha256');
  const piece = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, end));
  for (let at = 0; at < end; at += piece.length) {
    signal.throwIfAborted();
    const part = piece.subarray(0, Math.min(piece.length, end - at));
    await readInto(source, part, at);
    hash.update(part);
  }
  return hash.digest();
}
