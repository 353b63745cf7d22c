import { createHash } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { ByteSink } from '../model/bytes.js';
import { encodeEnd } from './end.js';
import { BLOCK, DEFAULT_MAX_MANIFEST_SIZE, END_ENTRY, FORMAT_VERSION, MANIFEST_ENTRY, MOST_ENTRIES } from './format.js';
import { type ArchiveManifest, encodeManifest, type FrameEntry } from './manifest.js';
import { padded, tarHeader } from './tar.js';

/** Writes entries of an archive to a sink, one behind the other, and keeps the account of them. */
export class EntryWriter {
  readonly #sink: ByteSink;
  readonly #hash = createHash('sha256');
  #size = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Bytes written so far. */
  get size(): number {
    return this.#size;
  }

  /**
   * Writes tar header, content and padding.
   *
   * @param content handed to the sink: its memory may not be used again
   */
  async write(name: string, content: Buffer): Promise<FrameEntry> {
    await this.#put(await tarHeader(name, content.length));
    const offset = this.#size;
    await this.#put(content);
    await this.#put(Buffer.alloc(padded(content.length) - content.length));
    return { name, offset, size: content.length, sha256: sha256(content) };
  }

  /**
   * Writes the manifest, `end` and the two zero blocks.
   *
   * @returns the SHA-256 of everything written, in hex
   * @throws FerryError `failed` for a manifest larger than readers take: an archive must be one that can be read
   */
  async close(manifest: ArchiveManifest): Promise<string> {
    const content = encodeManifest(manifest);
    checkManifestSize(content.length, manifest.entries.length);
    const { offset, size, sha256 } = await this.write(MANIFEST_ENTRY, content);
    await this.write(END_ENTRY, encodeEnd({ formatVersion: FORMAT_VERSION, offset, size, sha256 }));
    await this.#put(Buffer.alloc(2 * BLOCK));
    return this.#hash.digest('hex');
  }

  async #put(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return;
    this.#hash.update(bytes);
    this.#size += bytes.length;
    await this.#sink.write(bytes);
  }
}

function checkManifestSize(size: number, entries: number): void {
  if (size > DEFAULT_MAX_MANIFEST_SIZE) throw tooLarge(`be ${size} bytes`, DEFAULT_MAX_MANIFEST_SIZE);
  if (entries > MOST_ENTRIES) throw tooLarge(`name ${entries} entries`, MOST_ENTRIES);
}

function tooLarge(would: string, most: number): FerryError {
  return new FerryError('failed', `${MANIFEST_ENTRY} would ${would}, and readers take ${most}`, {
    hint: 'Write several archives, each with a --prefix of its own.',
  });
}

/** @returns the SHA-256 in hex */
export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
