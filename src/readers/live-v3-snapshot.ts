import { type FileHandle, statfs } from 'node:fs/promises';
import type { SnapshotStream, V3Cluster } from '../cluster/v3.js';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { delegate, type KeySelection, type Source } from '../model/source.js';
import { openUnnamed } from '../sort/temporary.js';
import { EtcdBackend } from '../wire/backend.js';
import { type PassingHash, passingSha256 } from '../wire/sha256-apart.js';
import { staleNote } from './live-v3-stale.js';
import { openBackend } from './snapshot-file.js';

/** The SHA-256 that etcd sends after the file (v3rpc/maintenance.go). */
const TRAILER = 32;
/** bbolt files are whole pages; the trailer is what is over. */
const SECTOR = 512;
const WRITE_BYTES = 1 << 20;

/** A snapshot that was taken, and of whom. */
export interface TakenSnapshot extends Pick<SnapshotStream, 'status' | 'doubt' | 'atLeast'> {
  /** Its space is freed when it is closed. */
  readonly bytes: ByteSource;
}

export interface LiveSnapshotOptions {
  readonly cluster: V3Cluster;
  readonly selection: KeySelection;
  /** The revision to read at; the latest unless given. */
  readonly revision?: bigint;
  /** An existing directory for the snapshot, and for what does not fit into memory. */
  readonly tmpDir: string;
}

/**
 * Reads a live cluster's whole backend, spooled, as the file it is: no compaction can disturb it.
 *
 * @throws FerryError as `spoolSnapshot` and `openSnapshotFile` do; `not-up-to-date` when the snapshot
 *   is older than what its member had told before
 */
export async function openLiveSnapshot(options: LiveSnapshotOptions, run: RunContext): Promise<Source> {
  const { cluster, selection, revision, tmpDir } = options;
  const { bytes, status, doubt, atLeast } = await spoolSnapshot(cluster, tmpDir, run);
  try {
    const backend = await EtcdBackend.open(bytes);
    if (backend.revision < atLeast) throw tooOld(cluster.location, backend.revision, atLeast);
    const file = { location: cluster.location, selection, tmpDir, ...(revision === undefined ? {} : { revision }) };
    // Its hash was checked as it came.
    const source = await openBackend(bytes, backend, { ...file, kind: 'live', hash: 'unchecked' }, run);
    const { clusterId, memberId, version } = status;
    const notes = doubt === undefined ? [] : [staleNote(doubt, cluster.location)];
    source.notes.merge(notes);
    const info = { ...source.info, clusterId, memberId, serverVersion: version };
    return { ...delegate(source), info: notes.length === 0 ? info : { ...info, lastingNotes: notes } };
  } catch (thrown) {
    await bytes.close();
    throw thrown;
  }
}

function tooOld(location: string, revision: bigint, atLeast: bigint): FerryError {
  return new FerryError('not-up-to-date', `${location}: the snapshot ends at revision ${revision}, and ${atLeast} had been told before`, {
    hint: 'Does one address lead to several members? Name that of one member, and try again.',
  });
}

/**
 * Takes a cluster's snapshot into a temporary file that has no name: what `etcdctl snapshot save`
 * would write, trailer included. The file is believed only when the trailer says that it is whole.
 *
 * @throws FerryError `damaged` when the stream ended early or differs from its trailer, `no-space`
 *   when `tmpDir` has less room than the backend is large, `unauthorized` where authentication is on
 *   and the user is not root, and as V3Cluster does
 */
export async function spoolSnapshot(cluster: V3Cluster, tmpDir: string, run: RunContext): Promise<TakenSnapshot> {
  const { blobs, ...taken } = await cluster.snapshot({ signal: run.signal });
  const dbSize = Number(taken.status.dbSize);
  await checkRoom(tmpDir, taken.status.dbSize);
  const file = await openSpool(tmpDir);
  try {
    await using spool = new Spool(file, dbSize);
    for await (const blob of blobs) {
      await spool.add(blob);
      run.progress({ phase: 'reading', records: 0, bytes: spool.size, totalBytes: dbSize });
    }
    await spool.finish(cluster.location);
    return { ...taken, bytes: sourceOf(file, `snapshot of ${cluster.location}`, spool.size) };
  } catch (thrown) {
    await file.close();
    throw FerryError.from(thrown, `taking a snapshot into ${tmpDir}`);
  }
}

/** Writes blobs in larger pieces, one while the next comes in, and hashes all but the last 32 bytes. */
class Spool implements AsyncDisposable {
  size = 0;
  readonly #file: FileHandle;
  readonly #hash: PassingHash;
  #blobs: Buffer[] = [];
  #held = 0;
  #written = 0;
  #writing: Promise<void> = Promise.resolve();

  /** @param expected about as many bytes as will come */
  constructor(file: FileHandle, expected: number) {
    this.#file = file;
    this.#hash = passingSha256(expected);
  }

  async add(blob: Buffer): Promise<void> {
    this.#blobs.push(blob);
    this.#held += blob.length;
    this.size += blob.length;
    if (this.#held >= WRITE_BYTES) await this.#write();
  }

  async finish(location: string): Promise<void> {
    await this.#write();
    const trailer = Buffer.concat(this.#blobs);
    await this.#writing;
    await writeAll(this.#file, [trailer], this.#written);
    const hint = "Try again; when it happens again, look at the server's log.";
    if (this.size % SECTOR !== TRAILER) {
      throw new FerryError('damaged', `${location}: the snapshot ended after ${this.size} bytes, without the hash at its end`, { hint });
    }
    if (!trailer.equals(await this.#hash.digest())) {
      throw new FerryError('damaged', `${location}: the snapshot differs from the hash at its end`, { hint });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#hash[Symbol.asyncDispose]();
  }

  /** Hashes and writes what is held but for the last 32 bytes, which may be the hash. */
  async #write(): Promise<void> {
    const blobs = this.#blobs;
    const kept: Buffer[] = [];
    let short = TRAILER;
    while (short > 0) {
      const last = blobs.pop();
      if (last === undefined) break;
      const cut = Math.max(0, last.length - short);
      kept.unshift(last.subarray(cut));
      if (cut > 0) blobs.push(last.subarray(0, cut));
      short -= last.length - cut;
    }
    this.#blobs = kept;
    this.#held = TRAILER - short;
    for (const blob of blobs) await this.#hash.update(blob);
    await this.#writing;
    const at = this.#written;
    this.#written = this.size - this.#held;
    this.#writing = writeAll(this.#file, blobs, at);
    // Told by the next write, or by the end.
    this.#writing.catch(() => {});
  }
}

async function writeAll(file: FileHandle, blobs: readonly Buffer[], position: number): Promise<void> {
  let left = blobs;
  for (let at = position; left.length > 0; ) {
    const { bytesWritten } = await file.writev(left, at);
    at += bytesWritten;
    left = without(left, bytesWritten);
  }
}

/** What of the blobs is behind the first `count` bytes. */
function without(blobs: readonly Buffer[], count: number): readonly Buffer[] {
  let skip = count;
  let i = 0;
  while (i < blobs.length && skip >= (blobs[i] as Buffer).length) skip -= (blobs[i++] as Buffer).length;
  const rest = blobs.slice(i);
  if (skip > 0) rest[0] = (rest[0] as Buffer).subarray(skip);
  return rest;
}

function sourceOf(file: FileHandle, name: string, size: number): ByteSource {
  const readInto = async (target: Uint8Array, offset: number): Promise<void> => {
    const { length } = target;
    if (offset + length > size) throw new FerryError('damaged', `${name}: ${length} bytes at ${offset} are beyond its end (${size})`);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await file.read(target, done, length - done, offset + done);
      if (bytesRead === 0) throw new FerryError('damaged', `${name}: cut short at ${offset + done}`);
      done += bytesRead;
    }
  };
  return {
    name,
    size,
    async read(offset, length) {
      if (offset + length > size) throw new FerryError('damaged', `${name}: ${length} bytes at ${offset} are beyond its end (${size})`);
      const bytes = Buffer.allocUnsafe(length);
      await readInto(bytes, offset);
      return bytes;
    },
    readInto,
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

async function openSpool(tmpDir: string): Promise<FileHandle> {
  try {
    return await openUnnamed(tmpDir);
  } catch (thrown) {
    throw FerryError.from(thrown, `a temporary file in ${tmpDir}`);
  }
}
