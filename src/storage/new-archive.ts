import { createHash } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { ByteSink } from '../model/bytes.js';

/** What a new archive needs of its repository. */
export interface NewArchiveActions {
  /** SHA-256 of what is stored under its name, in hex. */
  readonly readBack: () => Promise<string>;
  readonly remove: () => Promise<void>;
}

/** An archive being written into a repository. It is finished once its stored bytes were read back and found equal. */
export class NewArchive implements ByteSink {
  /** Its file name in the repository. */
  readonly file: string;
  readonly #sink: ByteSink;
  readonly #actions: NewArchiveActions;
  readonly #hash = createHash('sha256');
  #size = 0;
  #sha256: string | undefined;
  #finished = false;

  constructor(file: string, sink: ByteSink, actions: NewArchiveActions) {
    this.file = file;
    this.#sink = sink;
    this.#actions = actions;
  }

  get name(): string {
    return this.#sink.name;
  }

  /** What was stored. @throws FerryError `failed` before it is finished */
  get stored(): { readonly size: number; readonly sha256: string } {
    if (!this.#finished) throw new FerryError('failed', `${this.name} is not finished`);
    return this.written();
  }

  /** What was written; after this no more may be. */
  written(): { readonly size: number; readonly sha256: string } {
    this.#sha256 ??= this.#hash.digest('hex');
    return { size: this.#size, sha256: this.#sha256 };
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#hash.update(chunk);
    this.#size += chunk.length;
    await this.#sink.write(chunk);
  }

  /** @throws FerryError `damaged` when the stored bytes are not what was written: the archive is removed again */
  async finish(): Promise<void> {
    const { sha256 } = this.written();
    await this.#sink.finish().catch((thrown) => {
      throw inRepository(thrown);
    });
    const found = await this.#actions.readBack();
    if (found !== sha256) {
      await this.#actions.remove();
      throw new FerryError('damaged', `${this.name}: read back with SHA-256 ${found}, written with ${sha256}; it was removed again`, {
        hint: 'The storage does not give back what it was given. Check the disk, or the network to the store.',
      });
    }
    this.#finished = true;
  }

  abort(): Promise<void> {
    return this.#sink.abort();
  }
}

/** A name that is taken, as it is told of a repository. */
export function inRepository(thrown: unknown): unknown {
  if (!(thrown instanceof FerryError) || thrown.code !== 'in-the-way') return thrown;
  const hint = 'The same archive, or another of that very moment, is there already; in a repository nothing is overwritten.';
  return new FerryError('in-the-way', thrown.message, { hint, cause: thrown });
}
