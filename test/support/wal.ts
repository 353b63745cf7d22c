import type { ByteSource } from '../../src/model/bytes.js';
import { crc32c } from '../../src/wire/crc32c.js';
import { encodeFields } from '../../src/wire/fields.js';

/** Bytes in memory as a source, for readers of files. */
export function bytesSource(bytes: Buffer, name = 'bytes'): ByteSource {
  return {
    name,
    size: bytes.length,
    read: async (offset, length) => {
      if (offset + length > bytes.length) throw new Error(`read past the end: ${offset} + ${length} of ${bytes.length}`);
      return Buffer.from(bytes.subarray(offset, offset + length));
    },
    close: async () => {},
  };
}

/** Writes WAL segments as etcd does (server/storage/wal/encoder.go): the CRC runs on from one to the next. */
export class WalWriter {
  #crc = 0;
  #frames: Buffer[] = [];
  readonly #padded: boolean;

  /** @param options.padded frames end on 8 bytes, as since etcd 3.0 */
  constructor(options: { readonly padded: boolean } = { padded: true }) {
    this.#padded = options.padded;
  }

  record(type: number, data: Buffer): this {
    this.#crc = crc32c(data, this.#crc);
    return this.#frame(type, this.#crc, data);
  }

  metadata(memberId: bigint, clusterId: bigint): this {
    return this.record(
      1,
      encodeFields([
        [0x08, memberId],
        [0x10, clusterId],
      ]),
    );
  }

  entry(index: bigint, term: bigint, data: Buffer, type = 0): this {
    return this.record(
      2,
      encodeFields([
        [0x08, BigInt(type)],
        [0x10, term],
        [0x18, index],
        [0x22, data],
      ]),
    );
  }

  state(term: bigint, commit: bigint): this {
    return this.record(
      3,
      encodeFields([
        [0x08, term],
        [0x18, commit],
      ]),
    );
  }

  snapshot(index: bigint, term: bigint): this {
    return this.record(
      5,
      encodeFields([
        [0x08, index],
        [0x10, term],
      ]),
    );
  }

  /** Ends a segment; the next one begins with the CRC so far. */
  cut(): Buffer {
    const segment = Buffer.concat(this.#frames);
    this.#frames = [];
    this.#frame(4, this.#crc, Buffer.alloc(0));
    return segment;
  }

  #frame(type: number, crc: number, data: Buffer): this {
    const record = encodeFields([
      [0x08, BigInt(type)],
      [0x10, BigInt(crc)],
      [0x1a, data],
    ]);
    const padding = this.#padded ? (8 - (record.length % 8)) % 8 : 0;
    const head = Buffer.alloc(8);
    head.writeUInt32LE(record.length);
    if (padding > 0) head[7] = 0x80 | padding;
    this.#frames.push(head, record, Buffer.alloc(padding));
    return this;
  }
}
