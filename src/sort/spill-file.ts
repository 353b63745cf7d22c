import { type FileHandle, statfs } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import { openUnnamed } from './temporary.js';

/** Space that is left to others, in bytes. */
const SPARE_BYTES = 16 * 1024 * 1024;

/** A temporary file that nobody else sees: mode 0600, and unlinked as soon as it is open. */
export class SpillFile {
  readonly #handle: FileHandle;
  readonly #dir: string;
  #size = 0;

  private constructor(handle: FileHandle, dir: string) {
    this.#handle = handle;
    this.#dir = dir;
  }

  /**
   * @param dir an existing directory
   * @throws FerryError `not-found`, `not-writable`
   */
  static async create(dir: string): Promise<SpillFile> {
    try {
      return new SpillFile(await openUnnamed(dir), dir);
    } catch (thrown) {
      throw FerryError.from(thrown, `making a temporary file in ${dir}`);
    }
  }

  /**
   * @param bytes what is about to be written
   * @throws FerryError `no-space`
   */
  async checkSpace(bytes: number): Promise<void> {
    const { bavail, bsize } = await statfs(this.#dir);
    const free = bavail * bsize;
    if (bytes + SPARE_BYTES <= free) return;
    throw new FerryError('no-space', `sorting needs ${bytes} bytes in ${this.#dir}, where ${free} are free`, {
      hint: 'Name a directory with more space (--tmp-dir).',
    });
  }

  /** Bytes appended so far. */
  get size(): number {
    return this.#size;
  }

  /** Appends a block; its memory may be used again once this resolves. */
  async append(block: Buffer): Promise<void> {
    const at = this.#size;
    this.#size += block.length;
    try {
      for (let done = 0; done < block.length; ) {
        const { bytesWritten } = await this.#handle.write(block, done, block.length - done, at + done);
        done += bytesWritten;
      }
    } catch (thrown) {
      throw FerryError.from(thrown, `writing a temporary file in ${this.#dir}`);
    }
  }

  /** Fills `target` from `offset`. */
  async read(target: Buffer, offset: number): Promise<void> {
    for (let done = 0; done < target.length; ) {
      const { bytesRead } = await this.#handle.read(target, done, target.length - done, offset + done);
      if (bytesRead === 0) throw new FerryError('failed', `a temporary file in ${this.#dir} was cut short while it was in use`);
      done += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
