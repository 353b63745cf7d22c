import type { Writable } from 'node:stream';
import { FerryError } from '../errors.js';
import type { ByteSink } from '../model/bytes.js';

/** Bytes that are held back at first: of a run that fails before it has written more, nothing goes out. */
const MOST_HELD = 1024 * 1024;

/**
 * A stream, such as stdout, as a sink. It stays open: what comes to an end is the process, and a
 * reader at the other end tells from the archive itself whether it is whole.
 *
 * @param name for messages
 */
export function streamSink(stream: Writable, name = '-'): ByteSink {
  return new StreamSink(stream, name);
}

class StreamSink implements ByteSink {
  readonly name: string;
  readonly #stream: Writable;
  #failure: FerryError | undefined;
  /** What is written first; undefined once it is let out. */
  #held: Uint8Array[] | undefined = [];
  #heldBytes = 0;
  /** Set while somebody waits for the stream to take more. */
  #waiting: { resolve: () => void; reject: (reason: FerryError) => void } | undefined;

  constructor(stream: Writable, name: string) {
    this.#stream = stream;
    this.name = name;
    stream.on('error', this.#onError);
    stream.on('drain', this.#onDrain);
    stream.on('close', this.#onClose);
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#held === undefined) return this.#put(chunk);
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes >= MOST_HELD) await this.#let();
  }

  async finish(): Promise<void> {
    await this.#let();
    if (this.#failure !== undefined) throw this.#failure;
    // The callback of an empty write comes when all before it is out.
    await new Promise<void>((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#stream.write('', (error) => (error ? this.#onError(error) : resolve()));
    });
    this.#release();
  }

  /** What is out is out; what is still held is dropped. */
  async abort(): Promise<void> {
    this.#held = undefined;
    this.#release();
  }

  async #put(chunk: Uint8Array): Promise<void> {
    if (!this.#stream.write(chunk)) await this.#wait();
  }

  /** Lets out what is held; from now on nothing is. */
  async #let(): Promise<void> {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const chunk of held) {
      if (this.#failure !== undefined) throw this.#failure;
      await this.#put(chunk);
    }
  }

  #wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      if (this.#failure !== undefined) reject(this.#failure);
    });
  }

  #release(): void {
    this.#stream.off('drain', this.#onDrain);
    this.#stream.off('close', this.#onClose);
    // The listener for errors stays: a late one must not end the process.
  }

  readonly #onDrain = (): void => {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  };

  readonly #onClose = (): void => {
    this.#onError(new Error('closed before all was written'));
  };

  readonly #onError = (error: Error): void => {
    const gone = (error as NodeJS.ErrnoException).code === 'EPIPE';
    this.#failure ??= gone
      ? new FerryError('failed', `writing ${this.name}: its reader has gone away`, { cause: error })
      : FerryError.from(error, `writing ${this.name}`);
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  };
}
