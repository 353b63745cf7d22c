import type { FileHandle } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';

/** An open file as a source of bytes. */
export class FileBytes implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  /**
   * @param name for messages
   * @param size in bytes, as it was when the file was opened
   */
  constructor(handle: FileHandle, name: string, size: number) {
    this.#handle = handle;
    this.name = name;
    this.size = size;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (offset < 0 || length < 0 || offset + length > this.size) throw this.#cut(offset, length);
    const bytes = Buffer.allocUnsafeSlow(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  async readInto(target: Uint8Array, offset: number): Promise<void> {
    const { length } = target;
    if (offset < 0 || offset + length > this.size) throw this.#cut(offset, length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.#readSome(target, done, offset + done);
      if (bytesRead === 0) throw this.#cut(offset, length);
      done += bytesRead;
    }
  }

  async stamp(): Promise<string> {
    try {
      const { size, mtimeNs } = await this.#handle.stat({ bigint: true });
      return `${size} bytes, ${mtimeNs} ns`;
    } catch (thrown) {
      throw FerryError.from(thrown, `looking at ${this.name}`);
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #readSome(bytes: Uint8Array, at: number, position: number): Promise<{ bytesRead: number }> {
    try {
      return await this.#handle.read(bytes, at, bytes.length - at, position);
    } catch (thrown) {
      throw FerryError.from(thrown, `reading ${this.name}`);
    }
  }

  #cut(offset: number, length: number): FerryError {
    return new FerryError('damaged', `${this.name}: ends before byte ${offset + length}; ${length} bytes at ${offset} were expected`);
  }
}
