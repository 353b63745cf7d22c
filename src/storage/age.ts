import { randomBytes } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { ByteSink, ByteSource } from '../model/bytes.js';
import { type AgeIdentities, type AgeRecipients, findHeader, makeHeader, openHeader } from './age-header.js';
import { CHUNK, NONCE, openChunk, payloadKey, sealChunk, TAG } from './age-stream.js';

const SEALED = CHUNK + TAG;
/** Chunks asked of the stored bytes at once: 4 MiB. */
const TOGETHER = 64;

/**
 * A sink that encrypts what it takes, as `age -e` does (age-encryption.org/v1), and hands it on.
 *
 * @throws FerryError `usage` for recipients that are none
 */
export async function sealingSink(sink: ByteSink, recipients: AgeRecipients): Promise<ByteSink> {
  const { header, fileKey } = await makeHeader(recipients);
  const nonce = randomBytes(NONCE);
  return new SealingSink(sink, Buffer.concat([header, nonce]), payloadKey(fileKey, nonce));
}

class SealingSink implements ByteSink {
  readonly name: string;
  readonly #sink: ByteSink;
  readonly #key: Buffer;
  #start: Buffer | undefined;
  #pieces: Uint8Array[] = [];
  #gathered = 0;
  #position = 0;

  constructor(sink: ByteSink, start: Buffer, key: Buffer) {
    this.name = sink.name;
    this.#sink = sink;
    this.#start = start;
    this.#key = key;
  }

  async write(chunk: Uint8Array): Promise<void> {
    let rest = chunk;
    // A chunk is sealed only when something follows it: the last one is sealed as such.
    while (this.#gathered + rest.length > CHUNK) {
      const taken = CHUNK - this.#gathered;
      this.#take(rest.subarray(0, taken));
      rest = rest.subarray(taken);
      await this.#seal(false);
    }
    this.#take(rest);
  }

  async finish(): Promise<void> {
    await this.#seal(true);
    await this.#sink.finish();
  }

  async abort(): Promise<void> {
    await this.#sink.abort();
  }

  #take(piece: Uint8Array): void {
    if (piece.length === 0) return;
    this.#pieces.push(piece);
    this.#gathered += piece.length;
  }

  async #seal(last: boolean): Promise<void> {
    const sealed = sealChunk(this.#key, this.#position++, last, this.#pieces);
    this.#pieces = [];
    this.#gathered = 0;
    const start = this.#start;
    this.#start = undefined;
    if (start !== undefined) await this.#sink.write(start);
    await this.#sink.write(sealed);
  }
}

/**
 * The plain bytes of an encrypted file, at any place of it: each chunk of 64 KiB opens by itself, so
 * nothing is put on the disk. That it is not cut short is known at once; every chunk is checked when read.
 *
 * @param bytes the encrypted file; closed with what is returned, and by nobody when this throws
 * @throws FerryError `no-identity`, `damaged` for a file that is cut short or no age file, `usage` for an
 *   identity that is none
 */
export async function openSealed(bytes: ByteSource, identities: AgeIdentities): Promise<ByteSource> {
  const header = await findHeader(bytes.size, (length) => bytes.read(0, length));
  if (header === undefined) throw new FerryError('damaged', `${bytes.name}: its age header does not end`);
  const fileKey = await openHeader(header, identities, bytes.name);
  const start = header.length + NONCE;
  const size = plainSize(bytes.size - start);
  if (size === undefined) throw cutShort(bytes.name);
  const key = payloadKey(fileKey, await bytes.read(header.length, NONCE));
  const sealed = new SealedBytes(bytes, start, size, key);
  await sealed.checkEnd();
  return sealed;
}

/** Plain bytes in so many sealed ones; nothing where no file has so many. */
function plainSize(sealed: number): number | undefined {
  if (sealed < TAG) return undefined;
  const chunks = Math.ceil(sealed / SEALED);
  const size = sealed - chunks * TAG;
  // Only an empty file has an empty chunk.
  return size > (chunks - 1) * CHUNK || (chunks === 1 && size === 0) ? size : undefined;
}

class SealedBytes implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #bytes: ByteSource;
  readonly #start: number;
  readonly #key: Buffer;
  readonly #lastChunk: number;
  /** Chunks that were read in part: the next read most often begins where one ended. */
  readonly #recent = new Map<number, Buffer>();

  constructor(bytes: ByteSource, start: number, size: number, key: Buffer) {
    this.name = bytes.name;
    this.size = size;
    this.#bytes = bytes;
    this.#start = start;
    this.#key = key;
    this.#lastChunk = Math.max(0, Math.ceil(size / CHUNK) - 1);
  }

  /** @throws FerryError `damaged` when the last chunk was not sealed as the last */
  async checkEnd(): Promise<void> {
    try {
      await this.#chunks(this.#lastChunk, 1);
    } catch (cause) {
      if (cause instanceof FerryError && cause.code === 'damaged') throw cutShort(this.name);
      throw cause;
    }
  }

  async read(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(this.#within(offset, length));
    await this.#fill(bytes, offset);
    return bytes;
  }

  async readInto(target: Uint8Array, offset: number): Promise<void> {
    this.#within(offset, target.length);
    await this.#fill(target, offset);
  }

  async close(): Promise<void> {
    this.#recent.clear();
    await this.#bytes.close();
  }

  #within(offset: number, length: number): number {
    if (offset >= 0 && length >= 0 && offset + length <= this.size) return length;
    throw new FerryError('damaged', `${this.name}: ends before byte ${offset + length}; ${length} bytes at ${offset} were expected`);
  }

  async #fill(target: Uint8Array, offset: number): Promise<void> {
    let done = 0;
    while (done < target.length) {
      const at = offset + done;
      const first = Math.floor(at / CHUNK);
      const wanted = Math.ceil((offset + target.length) / CHUNK) - first;
      for (const [index, plain] of (await this.#chunks(first, Math.min(wanted, TOGETHER))).entries()) {
        const from = Math.max(0, at - (first + index) * CHUNK);
        const part = plain.subarray(from, from + target.length - done);
        target.set(part, done);
        done += part.length;
      }
    }
  }

  async #chunks(first: number, count: number): Promise<readonly Buffer[]> {
    const recent = count === 1 ? this.#recent.get(first) : undefined;
    if (recent !== undefined) return [recent];
    const at = this.#start + first * SEALED;
    const end = Math.min(at + count * SEALED, this.#start + this.size + (this.#lastChunk + 1) * TAG);
    const sealed = await this.#bytes.read(at, end - at);
    const plain: Buffer[] = [];
    for (let index = 0; index < count; index++) {
      plain.push(this.#open(first + index, sealed.subarray(index * SEALED, (index + 1) * SEALED)));
    }
    this.#remember(first + count - 1, plain.at(-1) as Buffer);
    return plain;
  }

  #open(position: number, sealed: Buffer): Buffer {
    const plain = openChunk(this.#key, position, position === this.#lastChunk, sealed);
    if (plain !== undefined) return plain;
    const at = this.#start + position * SEALED;
    throw new FerryError('damaged', `${this.name}: its encrypted bytes ${at} to ${at + sealed.length} are damaged`);
  }

  #remember(position: number, plain: Buffer): void {
    this.#recent.set(position, plain);
    if (this.#recent.size <= 8) return;
    for (const oldest of this.#recent.keys()) {
      this.#recent.delete(oldest);
      return;
    }
  }
}

function cutShort(name: string): FerryError {
  return new FerryError('damaged', `${name}: its encrypted data is cut short, or damaged at the end`);
}
