import type { FileHandle } from 'node:fs/promises';

/** Bytes gathered before they are written. */
const GATHERED = 2 * 1024 * 1024;

/**
 * Writes chunks to a file in few, large writes: small ones are gathered, none is copied. One write
 * is under way while the next is gathered.
 */
export class ChunkWriter {
  readonly #handle: FileHandle;
  #chunks: Uint8Array[] = [];
  #gathered = 0;
  #underway: Promise<void> = Promise.resolve();

  constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Takes a chunk, whose memory may not be changed any more; rejects with what an earlier write failed with. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#chunks.push(chunk);
    this.#gathered += chunk.length;
    if (this.#gathered >= GATHERED) await this.#start();
  }

  /** Resolves when all is written, though not yet on the disk. */
  async flush(): Promise<void> {
    await this.#start();
    await this.#underway;
  }

  /** Waits for the write under way, whatever becomes of it, so that the file can be closed. */
  async settle(): Promise<void> {
    await this.#underway.catch(() => {});
  }

  async #start(): Promise<void> {
    await this.#underway;
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#gathered = 0;
    this.#underway = this.#writeAll(chunks);
    // It is told by the next call; until then it is no unhandled rejection.
    this.#underway.catch(() => {});
  }

  async #writeAll(chunks: Uint8Array[]): Promise<void> {
    let left = chunks.filter((chunk) => chunk.length > 0);
    while (left.length > 0) {
      const { bytesWritten } = await this.#handle.writev(left);
      left = without(left, bytesWritten);
    }
  }
}

/** What is left of chunks when the first `count` bytes were written. */
function without(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  let i = 0;
  while (i < chunks.length && skip >= (chunks[i] as Uint8Array).length) skip -= (chunks[i++] as Uint8Array).length;
  const left = chunks.slice(i);
  if (skip > 0) left[0] = (left[0] as Uint8Array).subarray(skip);
  return left;
}
