import type { FileHandle } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { doubled } from '../model/doubled.js';
import type { TreeNode } from '../model/node.js';
import { openUnnamed } from '../sort/temporary.js';
import { encodeNode, nodeLength, writeNode } from '../wire/node.js';
import { readAhead } from '../wire/read-ahead.js';

/** Bytes read or written at once. */
const BLOCK = 1024 * 1024;
/** Set in a frame's length for a directory whose indices came after its children. */
const PENDING = 0x8000_0000;
/** Most bytes that tags, lengths, flag, indices and expiration of an encoded directory take. */
const PENDING_ROOM = 48;

/**
 * Encoded v2 nodes in a temporary file (mode 0600, unlinked once open), in order, to be read as
 * often as needed. A directory's indices and expiration may be filled in after its children were
 * appended; those alone are held in memory (24 bytes per directory that has children).
 */
export class NodeSpool {
  readonly #file: FileHandle;
  readonly #name: string;
  #size = 0;
  #out = newBlock();
  /** The block that was written last, or is being written. */
  #idle = newBlock();
  #writing: Promise<void> = Promise.resolve();
  #used = 0;
  #count = 0;
  #directories = 0;
  #indices = new BigUint64Array(64 * 3);

  private constructor(file: FileHandle, name: string) {
    this.#file = file;
    this.#name = name;
  }

  /** @throws FerryError `not-writable`, `not-found`, … when no file can be made in `directory` */
  static async create(directory: string): Promise<NodeSpool> {
    try {
      return new NodeSpool(await openUnnamed(directory), directory);
    } catch (thrown) {
      throw FerryError.from(thrown, `making a temporary file in ${directory}`);
    }
  }

  /** Records appended so far. */
  get count(): number {
    return this.#count;
  }

  /** Appends one encoded message, copying it. Kept in memory until `flush`. */
  append(record: Uint8Array): void {
    const at = this.#frame(record.length, 0);
    this.#out.set(record, at);
  }

  /** Encodes a node and appends it. */
  appendNode(node: TreeNode): void {
    const at = this.#frame(nodeLength(node), 0);
    writeNode(this.#out, at, node);
  }

  /**
   * Appends a directory whose indices are not known yet.
   *
   * @returns the number to `complete` it by
   */
  appendPending(path: Uint8Array, expiration: bigint): number {
    const at = this.#frame(path.length + PENDING_ROOM, PENDING);
    this.#out.writeUInt32LE(path.length, at);
    this.#out.set(path, at + 4);
    const number = this.#directories++;
    if (this.#indices.length < 3 * this.#directories) {
      const grown = new BigUint64Array(2 * this.#indices.length);
      grown.set(this.#indices);
      this.#indices = grown;
    }
    this.#indices[3 * number + 2] = expiration;
    return number;
  }

  /** Fills in the indices of a directory. */
  complete(number: number, createdIndex: bigint, modifiedIndex: bigint): void {
    this.#indices[3 * number] = createdIndex;
    this.#indices[3 * number + 1] = modifiedIndex;
  }

  /**
   * Writes what was appended to the file once there is a block of it, or all when `all` is set.
   * One block is written while the next is filled.
   */
  async flush({ all = false }: { all?: boolean } = {}): Promise<void> {
    if (this.#used >= BLOCK || (all && this.#used > 0)) {
      await this.#writing;
      const full = this.#out.subarray(0, this.#used);
      const reusable = this.#idle.length <= 4 * BLOCK;
      [this.#out, this.#idle] = [reusable ? this.#idle : newBlock(), this.#out];
      this.#used = 0;
      this.#writing = this.#write(full);
      // Told by the next flush; until then it is nobody's.
      this.#writing.catch(() => {});
    }
    if (all) await this.#writing;
  }

  async #write(block: Buffer): Promise<void> {
    try {
      for (let at = 0; at < block.length; ) {
        const { bytesWritten } = await this.#file.write(block, at, block.length - at, this.#size);
        at += bytesWritten;
        this.#size += bytesWritten;
      }
    } catch (thrown) {
      throw FerryError.from(thrown, `writing a temporary file in ${this.#name}`);
    }
  }

  /** All records from the first; to be called after `flush({ all: true })`. */
  batches(): AsyncGenerator<RecordBatch> {
    return readAhead(this.#batches());
  }

  async *#batches(): AsyncGenerator<RecordBatch> {
    let directory = 0;
    for (let position = 0; position < this.#size; ) {
      let block = await this.#read(position, Math.min(BLOCK, this.#size - position));
      const first = 4 + (block.readUInt32LE(0) & ~PENDING);
      if (first > block.length) block = await this.#read(position, first);
      const batch = this.#unpack(block, directory);
      directory += batch.directories;
      position += batch.length;
      yield batch;
    }
  }

  async close(): Promise<void> {
    await this.#writing.catch(() => {});
    await this.#file.close();
  }

  #frame(length: number, flag: number): number {
    const needed = this.#used + 4 + length;
    if (needed > this.#out.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#out.length));
      this.#out.copy(grown, 0, 0, this.#used);
      this.#out = grown;
    }
    this.#out.writeUInt32LE(length + flag, this.#used);
    const at = this.#used + 4;
    this.#used = needed;
    this.#count++;
    return at;
  }

  async #read(position: number, length: number): Promise<Buffer> {
    const block = Buffer.allocUnsafeSlow(length);
    try {
      for (let at = 0; at < length; ) {
        const { bytesRead } = await this.#file.read(block, at, length - at, position + at);
        if (bytesRead === 0) throw new FerryError('failed', 'a temporary file is shorter than what was written to it');
        at += bytesRead;
      }
    } catch (thrown) {
      throw FerryError.from(thrown, `reading a temporary file in ${this.#name}`);
    }
    return block;
  }

  /** The whole frames of a block, in place; `length` is what they take of it. */
  #unpack(block: Buffer, firstDirectory: number): RecordBatch & { readonly directories: number; readonly length: number } {
    let starts = new Uint32Array(256);
    let ends = new Uint32Array(256);
    let count = 0;
    let directory = firstDirectory;
    let at = 0;
    while (at + 4 <= block.length) {
      const head = block.readUInt32LE(at);
      const start = at + 4;
      const end = start + (head & ~PENDING);
      if (end > block.length) break;
      if (count === starts.length) [starts, ends] = [doubled(starts), doubled(ends)];
      starts[count] = start;
      ends[count++] = head >= PENDING ? this.#fillIn(block, start, directory++) : end;
      at = end;
    }
    return { bytes: block, starts, ends, count, directories: directory - firstDirectory, length: at };
  }

  #fillIn(block: Buffer, start: number, directory: number): number {
    const length = block.readUInt32LE(start);
    const encoded = encodeNode({
      path: Buffer.from(block.subarray(start + 4, start + 4 + length)),
      dir: true,
      value: Buffer.alloc(0),
      createdIndex: this.#indices[3 * directory] as bigint,
      modifiedIndex: this.#indices[3 * directory + 1] as bigint,
      expiration: BigInt.asIntN(64, this.#indices[3 * directory + 2] as bigint),
    });
    return start + encoded.copy(block, start);
  }
}

function newBlock(): Buffer {
  return Buffer.allocUnsafeSlow(BLOCK + BLOCK / 4);
}
