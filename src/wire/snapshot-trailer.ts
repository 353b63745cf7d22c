import { createHash } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { readInto } from './read-into.js';
import { THREAD_BYTES } from './sha256-apart.js';
import { Sha256Thread } from './sha256-thread.js';

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
    {
      hint: 'The file is damaged: take it from its origin again, or use another one. A copy without the last 32 bytes is read with --skip-hash-check.',
    },
  );
}

async function sha256Of(source: ByteSource, end: number, signal: AbortSignal): Promise<Buffer> {
  if (end >= THREAD_BYTES) return sha256Apart(source, end, signal);
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

/** In a thread of its own: one piece is hashed while the next is read. */
async function sha256Apart(source: ByteSource, end: number, signal: AbortSignal): Promise<Buffer> {
  await using thread = new Sha256Thread();
  const pieces = [new SharedArrayBuffer(PIECE_BYTES), new SharedArrayBuffer(PIECE_BYTES)] as const;
  const hashed: [Promise<void>, Promise<void>] = [Promise.resolve(), Promise.resolve()];
  for (let at = 0, turn: 0 | 1 = 0; at < end; at += PIECE_BYTES, turn = turn === 0 ? 1 : 0) {
    signal.throwIfAborted();
    await hashed[turn];
    const part = Buffer.from(pieces[turn], 0, Math.min(PIECE_BYTES, end - at));
    await readInto(source, part, at);
    hashed[turn] = thread.update(part);
    hashed[turn].catch(() => {});
  }
  await Promise.all(hashed);
  // Waited for here: the thread ends with this function.
  return await thread.digest();
}
