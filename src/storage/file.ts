import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { access, type FileHandle, link, open, rename, rm, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FerryError } from '../errors.js';
import type { ByteSink, ByteSource } from '../model/bytes.js';
import { clearLeftovers, TOUCH_EVERY, temporaryName, temporaryPrefix } from '../sort/temporary.js';
import { ChunkWriter } from './chunk-writer.js';
import { FileBytes } from './file-bytes.js';

const OWNER_ONLY = 0o600;
/** What file systems without hard links answer (FAT, some network mounts). */
const NO_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);
/** What file systems answer that cannot sync a directory, or need not. */
const NO_DIRECTORY_SYNC: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EPERM', 'EISDIR', 'EBADF']);

/**
 * Opens a regular file for reading.
 *
 * @throws FerryError `not-found`, `not-writable` (no permission), `usage` for a directory or a special file
 */
export async function openFile(path: string): Promise<ByteSource> {
  // Opened without waiting, or a named pipe would block until somebody writes to it.
  const handle = await attempt(`reading ${path}`, () => open(path, constants.O_RDONLY | constants.O_NONBLOCK));
  try {
    const stats = await handle.stat();
    if (stats.isFile()) return new FileBytes(handle, path, stats.size);
    const what = stats.isDirectory() ? 'a directory' : 'not a regular file';
    throw new FerryError('usage', `${path}: is ${what}`, { hint: 'Name a file.' });
  } catch (thrown) {
    await handle.close();
    throw FerryError.from(thrown, `reading ${path}`);
  }
}

export interface CreateOptions {
  /** Replace a file that is there. */
  readonly overwrite: boolean;
  /** The directory for the temporary file, on the same file system; else the one the file is to be in. */
  readonly temporaryIn?: string;
  /** A lock keeps away everybody else who would take the name. */
  readonly guarded?: boolean;
}

/** The name a file has until it is finished, where a lock tells whose it is. */
function guardedName(name: string): string {
  return `.${name}.${randomBytes(6).toString('hex')}.tmp`;
}

/** The name that such a file was to have; undefined for a name that is not one of ours. */
export function nameOfTemporary(name: string): string | undefined {
  return /^\.(.+)\.[0-9a-f]{12}\.tmp$/.exec(name)?.[1];
}

/**
 * Starts a new file: written under a temporary name beside it, mode 0600, and given its own name only
 * when finished and on the disk. Without `overwrite`, a file that is there, or comes to be while this
 * one is written, is never replaced. With it, a symbolic link is replaced, not followed. What runs that have
 * ended left beside the same target is removed.
 *
 * @throws FerryError `in-the-way` for something that may not be replaced, `not-found` when the directory
 *   is missing, `not-writable`, `no-space`
 */
export async function createFile(path: string, options: CreateOptions): Promise<ByteSink> {
  await checkTarget(path, options.overwrite);
  const directory = options.temporaryIn ?? dirname(path);
  const before = temporaryPrefix(basename(path));
  const name = options.temporaryIn === undefined ? await temporaryName(before) : guardedName(basename(path));
  const temporary = join(directory, name);
  const handle = await attempt(`writing ${path}`, () => open(temporary, 'wx', OWNER_ONLY), directory);
  if (options.temporaryIn === undefined) await clearLeftovers(directory, before, (await handle.stat()).mtimeMs);
  return new FileSink(path, temporary, handle, options);
}

/**
 * Checks what `createFile` would need, and writes nothing: for a dry run.
 *
 * @throws FerryError as `createFile` does
 */
export async function checkNewFile(path: string, options: { readonly overwrite: boolean }): Promise<void> {
  await checkTarget(path, options.overwrite);
  const directory = dirname(path);
  await attempt(`writing ${path}`, () => access(directory, constants.W_OK | constants.X_OK), directory);
}

async function checkTarget(path: string, overwrite: boolean): Promise<void> {
  const found = await statIfThere(path);
  if (found === undefined) return;
  if (found.isFile() && overwrite) return;
  throw inTheWay(path, found.isFile());
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return undefined;
    throw pathError(thrown, `writing ${path}`, dirname(path));
  }
}

class FileSink implements ByteSink {
  readonly name: string;
  readonly #temporary: string;
  readonly #handle: FileHandle;
  readonly #overwrite: boolean;
  readonly #guarded: boolean;
  readonly #writer: ChunkWriter;
  readonly #touching: NodeJS.Timeout;
  #state: 'open' | 'closed' | 'finished' | 'aborted' = 'open';

  constructor(name: string, temporary: string, handle: FileHandle, { overwrite, guarded = false }: CreateOptions) {
    this.name = name;
    this.#temporary = temporary;
    this.#handle = handle;
    this.#overwrite = overwrite;
    this.#guarded = guarded;
    this.#writer = new ChunkWriter(handle);
    // However long it waits for what it is to write: it does not look left over to another machine.
    const touch = (): Promise<void> => handle.utimes(new Date(), new Date()).catch(() => {});
    this.#touching = setInterval(touch, TOUCH_EVERY).unref();
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#attempt(() => this.#writer.write(chunk));
  }

  async finish(): Promise<void> {
    await this.#attempt(async () => {
      await this.#writer.flush();
      await this.#handle.sync();
      await this.#close();
      if (this.#overwrite) await rename(this.#temporary, this.name);
      else await publish(this.#temporary, this.name, this.#guarded);
      this.#state = 'finished';
      await syncDirectory(dirname(this.name));
    });
  }

  async abort(): Promise<void> {
    if (this.#state === 'finished' || this.#state === 'aborted') return;
    await this.#close().catch(() => {});
    this.#state = 'aborted';
    await this.#attempt(() => rm(this.#temporary, { force: true }));
  }

  async #close(): Promise<void> {
    if (this.#state !== 'open') return;
    this.#state = 'closed';
    clearInterval(this.#touching);
    await this.#writer.settle();
    await this.#handle.close();
  }

  #attempt<T>(action: () => Promise<T>): Promise<T> {
    return attempt(`writing ${this.name}`, action, dirname(this.name));
  }
}

/** Gives a file its final name unless that is taken: a hard link fails where a rename would replace. */
async function publish(temporary: string, path: string, guarded: boolean): Promise<void> {
  try {
    await link(temporary, path);
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') throw inTheWay(path, true);
    if (!NO_LINKS.has(codeOf(thrown))) throw thrown;
    return guarded ? publishGuarded(temporary, path) : publishWithoutLinks(temporary, path);
  }
  await unlink(temporary);
}

/** Takes the name with an empty file, which fails if it is taken, and replaces that. */
async function publishWithoutLinks(temporary: string, path: string): Promise<void> {
  try {
    await (await open(path, 'wx', OWNER_ONLY)).close();
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') throw inTheWay(path, true);
    throw thrown;
  }
  await rename(temporary, path);
}

/** Where a lock keeps others away, a look is enough: no empty file is ever seen under the name. */
async function publishGuarded(temporary: string, path: string): Promise<void> {
  if ((await statIfThere(path)) !== undefined) throw inTheWay(path, true);
  await rename(temporary, path);
}

async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } catch (thrown) {
    if (!NO_DIRECTORY_SYNC.has(codeOf(thrown))) throw thrown;
  } finally {
    await handle.close();
  }
}

function inTheWay(path: string, replaceable: boolean): FerryError {
  const what = replaceable ? 'exists already' : 'exists and is not a regular file';
  const hint = replaceable ? 'Choose another name, or --overwrite.' : 'Choose another name.';
  return new FerryError('in-the-way', `${path}: ${what}`, { hint });
}

async function attempt<T>(doing: string, action: () => Promise<T>, directory?: string): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    throw pathError(thrown, doing, directory);
  }
}

/** @param directory the one written to, when it is what a missing path means */
function pathError(thrown: unknown, doing: string, directory: string | undefined): FerryError {
  const code = codeOf(thrown);
  if (directory !== undefined && (code === 'ENOENT' || code === 'ENOTDIR')) {
    const hint = 'Make the directory first, or check that it is mounted.';
    return new FerryError('not-found', `${doing}: ${directory} is not a directory that exists`, { hint, cause: thrown });
  }
  if (code === 'ENOTDIR') return new FerryError('not-found', `${doing}: a part of the path is not a directory`, { cause: thrown });
  return FerryError.from(thrown, doing);
}

function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined;
}
