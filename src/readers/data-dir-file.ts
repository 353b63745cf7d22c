import { type FileHandle, open } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';

/** A file of a data dir, opened for reading only. */
export class DataDirFile implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(name: string, size: number, handle: FileHandle) {
    this.name = name;
    this.size = size;
    this.#handle = handle;
  }

  /** @throws FerryError when it cannot be opened */
  static async open(path: string): Promise<DataDirFile> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'r');
      return new DataDirFile(path, (await handle.stat()).size, handle);
    } catch (thrown) {
      await handle?.close();
      throw FerryError.from(thrown, `reading ${path}`);
    }
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (offset < 0 || length < 0 || offset + length > this.size) throw this.#cut(offset, length);
    const bytes = Buffer.allocUnsafe(length);
    await this.readInto(bytes, offset);
    return bytes;
  }

  async readInto(target: Uint8Array, offset: number): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const { bytesRead } = await this.#readSome(target, done, offset + done);
      if (bytesRead === 0) throw this.#cut(offset, target.length);
      done += bytesRead;
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  async #readSome(target: Uint8Array, at: number, position: number): Promise<{ bytesRead: number }> {
    try {
      return await this.#handle.read(target, at, target.length - at, position);
    } catch (thrown) {
      throw FerryError.from(thrown, `reading ${this.name}`);
    }
  }

  #cut(offset: number, length: number): FerryError {
    return new FerryError('damaged', `${this.name}: ${this.size} bytes, where ${length} were expected at ${offset}`);
  }
}

/** Opens files one after the other, gives them to `use`, and closes them whatever happens. */
export async function withFiles<T>(paths: readonly string[], use: (files: readonly DataDirFile[]) => Promise<T>): Promise<T> {
  const files: DataDirFile[] = [];
  try {
    for (const path of paths) files.push(await DataDirFile.open(path));
    return await use(files);
  } finally {
    for (const file of files) await file.close();
  }
}
