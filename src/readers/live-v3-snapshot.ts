import { createHash, type Hash, randomUUID } from 'node:crypto';
import { type FileHandle, open, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { V3Cluster } from '../cluster/v3.js';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';

/** The SHA-256 that etcd sends after the file (v3rpc/maintenance.go). */
const TRAILER = 32;
/** bbolt files are whole pages; the trailer is what is over. */
const SECTOR = 512;
const WRITE_BYTES = 1 << 20;

/**
 * Takes a cluster's snapshot into a temporary file that has no name: what `etcdctl snapshot save`
 * would write, trailer included. The file is believed only when the trailer says that it is whole.
 *
 * @returns the file; its space is freed when it is closed
 * @throws FerryError `damaged` when the stream ended early or differs from its trailer, `no-space`
 *   when `tmpDir` has less room than the backend is large, `unauthorized` where authentication is on
 *   and the user is not root, and as V3Cluster does
 */
export async function spoolSnapshot(cluster: V3Cluster, tmpDir: string, run: RunContext): Promise<ByteSource> {
  const { dbSize } = await cluster.status();
  await checkRoom(tmpDir, dbSize);
  const file = await openUnnamed(tmpDir);
  try {
    const spool = new Spool(file);
    for await (const blob of cluster.snapshot(run.signal)) {
      await spool.add(blob);
      run.progress({ phase: 'reading', records: 0, bytes: spool.size, totalBytes: Number(dbSize) });
    }
    await spool.finish(cluster.location);
    return sourceOf(file, `snapshot of ${cluster.location}`, spool.size);
  } catch (thrown) {
    await file.close();
    throw FerryError.from(thrown, `taking a snapshot into ${tmpDir}`);
  }
}

/** Writes blobs in larger pieces, and hashes all but the last 32 bytes. */
class Spool {
  size = 0;
  readonly #file: FileHandle;
  readonly #hash: Hash = createHash('sha256');
  #blobs: Buffer[] = [];
  #held = 0;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async add(blob: Buffer): Promise<void> {
    this.#blobs.push(blob);
    this.#held += blob.length;
    this.size += blob.length;
    if (this.#held >= WRITE_BYTES) await this.#write(TRAILER);
  }

  async finish(location: string): Promise<void> {
    await this.#write(TRAILER);
    const trailer = Buffer.concat(this.#blobs);
    await this.#write(0);
    const hint = "Try again; when it happens again, look at the server's log.";
    if (this.size % SECTOR !== TRAILER) {
      throw new FerryError('damaged', `${location}: the snapshot ended after ${this.size} bytes, without the hash at its end`, { hint });
    }
    if (!trailer.equals(this.#hash.digest())) {
      throw new FerryError('damaged', `${location}: the snapshot differs from the hash at its end`, { hint });
    }
  }

  /** Writes what is held but for the last `keep` bytes. */
  async #write(keep: number): Promise<void> {
    const all = Buffer.concat(this.#blobs);
    const now = all.subarray(0, Math.max(0, all.length - keep));
    this.#blobs = [all.subarray(now.length)];
    this.#held = all.length - now.length;
    if (keep > 0) this.#hash.update(now);
    await writeAll(this.#file, now, this.size - all.length);
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

function sourceOf(file: FileHandle, name: string, size: number): ByteSource {
  return {
    name,
    size,
    async read(offset, length) {
      if (offset + length > size) throw new FerryError('damaged', `${name}: ${length} bytes at ${offset} are beyond its end (${size})`);
      const bytes = Buffer.allocUnsafe(length);
      for (let done = 0; done < length; ) {
        const { bytesRead } = await file.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0) throw new FerryError('damaged', `${name}: cut short at ${offset + done}`);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => file.close(),
  };
}

async function checkRoom(tmpDir: string, needed: bigint): Promise<void> {
  const { bavail, bsize } = await statfs(tmpDir, { bigint: true }).catch((thrown: unknown) => {
    throw FerryError.from(thrown, tmpDir);
  });
  if (bavail * bsize >= needed) return;
  throw new FerryError('no-space', `${tmpDir} has ${bavail * bsize} bytes left, and the snapshot has ${needed}`, {
    hint: 'Name a larger place with --tmp-dir.',
  });
}

async function openUnnamed(tmpDir: string): Promise<FileHandle> {
  const path = join(tmpDir, `etcdferry-${randomUUID()}.db`);
  try {
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    return file;
  } catch (thrown) {
    throw FerryError.from(thrown, path);
  }
}
