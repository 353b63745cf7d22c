import { Worker } from 'node:worker_threads';
import { FerryError } from '../errors.js';

/** What the thread runs; as text, so that it needs no file beside this one wherever that lies. */
const THREAD = `
const { parentPort } = require('node:worker_threads');
const hash = require('node:crypto').createHash('sha256');
parentPort.on('message', (piece) => {
  if (piece === null) parentPort.postMessage(hash.digest());
  else {
    hash.update(piece);
    parentPort.postMessage(null);
  }
});
`;

/**
 * SHA-256 in a thread of its own: without the processor's help it is the slowest part of reading a
 * snapshot file. Pieces must lie in shared memory. To be closed in any case.
 */
export class Sha256Thread implements AsyncDisposable {
  readonly #worker = new Worker(THREAD, { eval: true });
  readonly #waiting: { resolve: (digest: Uint8Array | null) => void; reject: (reason: unknown) => void }[] = [];
  #failure: FerryError | undefined;

  constructor() {
    this.#worker.on('message', (answer: Uint8Array | null) => this.#waiting.shift()?.resolve(answer));
    this.#worker.on('error', (thrown) => this.#fail(FerryError.from(thrown, 'hashing')));
    this.#worker.on('exit', () => this.#fail(new FerryError('failed', 'the thread that hashes has ended')));
  }

  /** Resolves when the piece's memory may be used again. */
  async update(piece: Uint8Array<SharedArrayBuffer>): Promise<void> {
    await this.#ask(piece);
  }

  async digest(): Promise<Buffer> {
    return Buffer.from((await this.#ask(null)) ?? []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  #ask(message: Uint8Array<SharedArrayBuffer> | null): Promise<Uint8Array | null> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#worker.postMessage(message);
    });
  }

  #fail(failure: FerryError): void {
    this.#failure ??= failure;
    for (const { reject } of this.#waiting.splice(0)) reject(failure);
  }
}
