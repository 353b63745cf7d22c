import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { FerryError } from '../errors.js';
import type { ByteSink, ByteSource } from '../model/bytes.js';
import { createFile, nameOfTemporary, openFile } from './file.js';
import { LARGEST_SMALL, type ObjectStore, type StoredObject, type UnfinishedObject } from './object-store.js';

/** Where temporary files lie until they are finished: beside the archives there is nothing but archives. */
const UNFINISHED = '.etcdferry/unfinished';
const OWNER_ONLY = 0o700;

/**
 * Opens a directory as a store.
 *
 * @param options `create`: make the directory, and those above it, if it is not there
 * @throws FerryError `not-found` when it is not there: an unmounted path must not become a folder
 */
export async function openDirectoryStore(path: string, options: { readonly create: boolean }): Promise<ObjectStore> {
  const found = await optional(() => stat(path), path);
  if (found === undefined) {
    if (options.create) {
      await attempt(path, () => mkdir(path, { recursive: true, mode: OWNER_ONLY }));
      return new DirectoryStore(path);
    }
    throw new FerryError('not-found', `${path}: no such directory`, { hint: 'Check that it is mounted; --create makes a new one.' });
  }
  if (!found.isDirectory()) throw new FerryError('usage', `${path} is not a directory; a repository was expected`);
  return new DirectoryStore(path);
}

class DirectoryStore implements ObjectStore {
  readonly name: string;

  constructor(path: string) {
    this.name = path;
  }

  async list(folder: string): Promise<readonly StoredObject[]> {
    const path = this.#path(folder);
    const entries = (await optional(() => readdir(path, { withFileTypes: true }), path)) ?? [];
    const files = entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
    const found: StoredObject[] = [];
    for (const name of files.sort()) {
      // What went while the directory was read is not there any more.
      const stats = await optional(() => stat(join(path, name)), path);
      if (stats !== undefined) found.push({ name, size: stats.size, modifiedAt: stats.mtimeMs });
    }
    return found;
  }

  async links(): Promise<readonly string[]> {
    const entries = (await optional(() => readdir(this.name, { withFileTypes: true }), this.name)) ?? [];
    return entries.filter((entry) => entry.isSymbolicLink()).map((entry) => entry.name);
  }

  open(name: string): Promise<ByteSource> {
    return openFile(this.#path(name));
  }

  async create(name: string): Promise<ByteSink> {
    return this.#create(name, false);
  }

  async get(name: string): Promise<Buffer | undefined> {
    const path = this.#path(name);
    const bytes = await ifThere(openFile(path));
    if (bytes === undefined) return undefined;
    try {
      if (bytes.size > LARGEST_SMALL)
        throw new FerryError('failed', `${path} has ${bytes.size} bytes; at most ${LARGEST_SMALL} were expected`);
      return await bytes.read(0, bytes.size);
    } finally {
      await bytes.close();
    }
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    const sink = await this.#create(name, true);
    try {
      await sink.write(bytes);
      await sink.finish();
    } finally {
      await sink.abort();
    }
  }

  async delete(name: string): Promise<void> {
    const path = this.#path(name);
    await attempt(path, () => rm(path, { force: true }));
  }

  async unfinished(): Promise<readonly UnfinishedObject[]> {
    const found: UnfinishedObject[] = [];
    for (const { name: temporary, modifiedAt } of await this.list(UNFINISHED)) {
      const name = nameOfTemporary(temporary);
      if (name === undefined) continue;
      found.push({ name, startedAt: modifiedAt, clear: () => this.delete(`${UNFINISHED}/${temporary}`) });
    }
    return found;
  }

  async close(): Promise<void> {}

  async #create(name: string, overwrite: boolean): Promise<ByteSink> {
    const path = this.#path(name);
    const temporaryIn = this.#path(UNFINISHED);
    for (const directory of [dirname(path), temporaryIn]) await this.#makeBelowRoot(directory);
    return createFile(path, { overwrite, temporaryIn, guarded: true });
  }

  async #makeBelowRoot(directory: string): Promise<void> {
    await attempt(this.name, async () => {
      // The root is never made: it may have been unmounted meanwhile.
      await stat(this.name);
      await mkdir(directory, { recursive: true, mode: OWNER_ONLY });
    });
  }

  #path(name: string): string {
    return join(this.name, name);
  }
}

async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    throw FerryError.from(thrown, path);
  }
}

async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (thrown) {
    if (thrown instanceof FerryError && thrown.code === 'not-found') return undefined;
    throw thrown;
  }
}

async function optional<T>(action: () => Promise<T>, path: string): Promise<T | undefined> {
  try {
    return await action();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw FerryError.from(thrown, path);
  }
}
