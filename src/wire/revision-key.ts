import { FerryError } from '../errors.js';

/** Bytes of a key of etcd's `key` bucket: main (u64, big-endian), `_`, sub (u64). */
export const REVISION_KEY_BYTES = 17;
/** A tombstone's key has a `t` more. */
export const TOMBSTONE_KEY_BYTES = 18;

const SEPARATOR = 0x5f;
const TOMBSTONE_MARK = 0x74;
const LARGEST = 2n ** 63n - 1n;

/** A change of the keyspace: the transaction's revision, and the change's number in it (etcd mvcc/revision.go). */
export interface Revision {
  readonly main: bigint;
  readonly sub: bigint;
}

/** Encodes a key of etcd's `key` bucket. */
export function encodeRevisionKey({ main, sub }: Revision, tombstone = false): Buffer {
  const key = Buffer.alloc(tombstone ? TOMBSTONE_KEY_BYTES : REVISION_KEY_BYTES);
  key.writeBigUInt64BE(main, 0);
  key[8] = SEPARATOR;
  key.writeBigUInt64BE(sub, 9);
  if (tombstone) key[17] = TOMBSTONE_MARK;
  return key;
}

/**
 * Decodes a key of etcd's `key` bucket, or a compaction revision of its `meta` bucket.
 *
 * @throws FerryError `damaged`
 */
export function decodeRevisionKey(key: Buffer): Revision & { readonly tombstone: boolean } {
  checkRevisionKey(key, 0, key.length);
  return { main: key.readBigUInt64BE(0), sub: key.readBigUInt64BE(9), tombstone: key.length === TOMBSTONE_KEY_BYTES };
}

/**
 * Checks that `bytes[start, end)` is a revision key, allocating nothing.
 *
 * @throws FerryError `damaged`
 */
export function checkRevisionKey(bytes: Buffer, start: number, end: number): void {
  const length = end - start;
  const shape =
    (length === REVISION_KEY_BYTES || (length === TOMBSTONE_KEY_BYTES && bytes[start + 17] === TOMBSTONE_MARK)) &&
    bytes[start + 8] === SEPARATOR &&
    (bytes[start] as number) < 0x80 &&
    (bytes[start + 9] as number) < 0x80;
  if (!shape) {
    const found = bytes.toString('hex', start, Math.min(end, start + 32));
    throw new FerryError('damaged', `${found} (hex, ${length} bytes) is not a revision key`);
  }
}

/** Compares the main revision of many keys with one revision, allocating nothing. */
export class MainRevision {
  readonly #high: number;
  readonly #low: number;

  /** @param main from 0 to 2^63-1; more counts as 2^63-1, less as 0 */
  constructor(main: bigint) {
    const value = main < 0n ? 0n : main > LARGEST ? LARGEST : main;
    this.#high = Number(value >> 32n);
    this.#low = Number(value & 0xffffffffn);
  }

  /** The order of the key's main revision, at `bytes[start]`, and this one: negative, zero or positive. */
  compare(bytes: Buffer, start: number): number {
    const high = bytes.readUInt32BE(start);
    return high === this.#high ? bytes.readUInt32BE(start + 4) - this.#low : high - this.#high;
  }
}
