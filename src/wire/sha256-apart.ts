import { createHash } from 'node:crypto';
import { Sha256Thread } from './sha256-thread.js';

/** Below this a thread takes longer to start than it saves. */
export const THREAD_BYTES: number = 32 * 1024 * 1024;
const PIECE_BYTES = 1024 * 1024;
/** Pieces that are being hashed or wait for it. */
const PIECES = 4;

/** SHA-256 of what is on its way to somewhere else. To be closed in any case. */
export interface PassingHash extends AsyncDisposable {
  /** Resolves when more can be taken; the chunk stays the caller's. */
  update(chunk: Buffer): Promise<void>;
  digest(): Promise<Buffer>;
}

/**
 * Hashes beside the caller's own work, where there is so much that it is worth a thread.
 *
 * @param bytes about as many as will come
 */
export function passingSha256(bytes: number): PassingHash {
  return bytes < THREAD_BYTES ? new HashHere() : new HashApart();
}

class HashHere implements PassingHash {
  readonly #hash = createHash('sha256');

  async update(chunk: Buffer): Promise<void> {
    this.#hash.update(chunk);
  }

  async digest(): Promise<Buffer> {
    return this.#hash.digest();
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** Copies chunks into pieces of memory that the thread shares: a tenth of what hashing them takes. */
class HashApart implements PassingHash {
  readonly #thread = new Sha256Thread();
  readonly #pieces = Array.from({ length: PIECES }, () => Buffer.from(new SharedArrayBuffer(PIECE_BYTES)));
  readonly #hashed: Promise<void>[] = this.#pieces.map(() => Promise.resolve());
  #turn = 0;
  #used = 0;

  async update(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      if (this.#used === 0) await this.#hashed[this.#turn];
      const copied = chunk.copy(this.#pieces[this.#turn] as Buffer, this.#used, at);
      at += copied;
      this.#used += copied;
      if (this.#used === PIECE_BYTES) this.#send();
    }
  }

  async digest(): Promise<Buffer> {
    if (this.#used > 0) this.#send();
    await Promise.all(this.#hashed);
    return this.#thread.digest();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#thread[Symbol.asyncDispose]();
  }

  #send(): void {
    const piece = this.#pieces[this.#turn] as Buffer<SharedArrayBuffer>;
    const hashed = this.#thread.update(piece.subarray(0, this.#used));
    // Told when the piece's turn comes again, or by the digest.
    hashed.catch(() => {});
    this.#hashed[this.#turn] = hashed;
    this.#turn = (this.#turn + 1) % PIECES;
    this.#used = 0;
  }
}
