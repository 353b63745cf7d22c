import { promisify } from 'node:util';
import * as zlib from 'node:zlib';
import { FerryError } from '../errors.js';
import type { Compression } from './format.js';

/** zstd came to node:zlib with Node 22.15 and 23.8; the types know Node 20 only. */
interface ZstdZlib {
  readonly zstdCompress?: (bytes: Uint8Array, options: object, done: (error: Error | null, result: Buffer) => void) => void;
  readonly zstdDecompress?: (bytes: Uint8Array, options: object, done: (error: Error | null, result: Buffer) => void) => void;
}

const zstdZlib: ZstdZlib = zlib as unknown as ZstdZlib;
const gzip = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.gzip);

/** What `info: true` gives, which the types leave out; `bytesWritten` counts the input taken. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

type InflateOptions = zlib.ZlibOptions & { readonly info: true };
const inflateRaw = promisify(
  zlib.inflateRaw as unknown as (b: Uint8Array, o: InflateOptions, done: (e: Error | null, r: Inflated) => void) => void,
);
const inflateRawSync = zlib.inflateRawSync as unknown as (bytes: Uint8Array, options: InflateOptions) => Inflated;

/** Fewer crossings into the thread pool than with zlib's 16 KiB. */
const CHUNK = 1024 * 1024;
/** Of zlib's most, which is 7 % quicker than its default. */
const MEM_LEVEL = 9;
/** Decompressed on the spot: the way to the thread pool and back would take longer. In bytes raw. */
const SMALL = 16 * 1024;
/** Deflate cannot do better than 1032 to 1 (RFC 1951); with some room for its headers. */
const MAX_DEFLATE_RATIO = 1040;
/** Of a gzip member (RFC 1952) without a name or comment: the header; behind the content its CRC and size. In bytes. */
const [GZIP_HEADER, GZIP_TRAILER] = [10, 8];
/** How a header begins: deflate, nothing optional, no time. */
const GZIP_START: Buffer = Buffer.from('1f8b080000000000', 'hex');
/** Offset in it of the byte that names the operating system, and "unknown". */
const GZIP_OS_AT = 9;
const GZIP_OS_UNKNOWN = 255;
const ZSTD_MAGIC = 0xfd2fb528;

/** True when this runtime can write zstd; every runtime reads it. */
export function canCompress(compress: Compression): boolean {
  return compress === 'gzip' || zstdZlib.zstdCompress !== undefined;
}

/**
 * Compresses a segment on the thread pool. The same bytes give the same result on the same release
 * of Node: no time and no operating system stand in it.
 *
 * @param raw must stay as it is until the promise settles
 * @throws FerryError `usage` for zstd where the runtime has none
 */
export async function compressBytes(raw: Buffer, compress: Compression): Promise<Buffer> {
  if (compress === 'zstd') return zstdCompress(raw);
  const stored = await gzip(raw, { level: 1, memLevel: MEM_LEVEL, chunkSize: CHUNK });
  stored[GZIP_OS_AT] = GZIP_OS_UNKNOWN;
  return stored;
}

/** @throws FerryError `usage` when archives cannot be compressed so by this runtime */
export function checkCanCompress(compress: Compression): void {
  if (canCompress(compress)) return;
  throw cannotWriteZstd();
}

function cannotWriteZstd(): FerryError {
  return new FerryError('usage', 'this Node cannot write zstd', { hint: 'Use Node 22.15 or later, or --compress gzip.' });
}

/**
 * Decompresses a segment on the thread pool (zstd before Node 22.15: on the caller's thread).
 *
 * @param rawSize the size it must have, in bytes; already held against the limits. No more than this is ever allocated
 * @param where entry and offset, for messages
 * @throws FerryError `damaged` when it does not decompress to exactly `rawSize` bytes
 */
export async function decompressBytes(stored: Buffer, rawSize: number, compress: Compression, where: string): Promise<Buffer> {
  if (compress === 'gzip' && rawSize > stored.length * MAX_DEFLATE_RATIO) throw wrongSize(where, stored.length, rawSize);
  let raw: Buffer;
  try {
    raw = compress === 'gzip' ? await gzipDecompress(stored, rawSize, where) : await zstdDecompress(stored, rawSize, where);
  } catch (cause) {
    if (cause instanceof FerryError) throw cause;
    throw new FerryError('damaged', `${where}: does not decompress to ${rawSize} bytes`, { cause });
  }
  if (raw.length !== rawSize) throw wrongSize(where, raw.length, rawSize);
  return raw;
}

/** One member as `compressBytes` writes it, and nothing else: zlib would read several as one, and pass over what stands behind. */
async function gzipDecompress(stored: Buffer, rawSize: number, where: string): Promise<Buffer> {
  const deflated = stored.subarray(GZIP_HEADER);
  const options = { ...outputOptions(rawSize), info: true } as const;
  const { buffer, engine } = rawSize <= SMALL ? inflateRawSync(deflated, options) : await inflateRaw(deflated, options);
  const end = GZIP_HEADER + engine.bytesWritten;
  if (!isGzipHeader(stored) || end + GZIP_TRAILER !== stored.length) {
    throw new FerryError('damaged', `${where}: is not one gzip member and nothing else`);
  }
  if (zlib.crc32(buffer) !== stored.readUInt32LE(end) || buffer.length % 2 ** 32 !== stored.readUInt32LE(end + 4)) {
    throw new FerryError('damaged', `${where}: its gzip member has another CRC or size than its content`);
  }
  return buffer;
}

function isGzipHeader(stored: Buffer): boolean {
  return GZIP_START.compare(stored, 0, GZIP_START.length) === 0 && stored[GZIP_OS_AT] === GZIP_OS_UNKNOWN;
}

/** All output into one chunk: a second one would be allocated only to stay empty. */
function outputOptions(rawSize: number): { chunkSize: number; maxOutputLength: number } {
  return { chunkSize: Math.max(rawSize + 1, 64), maxOutputLength: Math.max(rawSize, 1) };
}

async function zstdCompress(raw: Buffer): Promise<Buffer> {
  checkCanCompress('zstd');
  const compress = zstdZlib.zstdCompress;
  // The size is pledged so that it stands in the frame, as readers want it.
  const stored = compress && (await promisify(compress)(raw, { chunkSize: CHUNK, pledgedSrcSize: raw.length }));
  if (stored === undefined || zstdContentSize(stored) !== raw.length) throw cannotWriteZstd();
  return stored;
}

/** One frame that states its content size; anything else is not ours. */
async function zstdDecompress(stored: Buffer, rawSize: number, where: string): Promise<Buffer> {
  if (zstdContentSize(stored) !== rawSize || zstdFrameEnd(stored) !== stored.length)
    throw new FerryError('damaged', `${where}: is not a zstd frame of ${rawSize} bytes`);
  if (zstdZlib.zstdDecompress !== undefined) return promisify(zstdZlib.zstdDecompress)(stored, outputOptions(rawSize));
  const { decompress } = await import('fzstd');
  const output = decompress(stored, new Uint8Array(rawSize));
  return Buffer.from(output.buffer, output.byteOffset, output.byteLength);
}

/**
 * The content size in a zstd frame's header (RFC 8878, 3.1.1.1).
 *
 * @returns undefined when it is no such frame, states no size, or needs a dictionary
 */
function zstdContentSize(stored: Buffer): number | undefined {
  // Zeros behind a short frame: then no field can lie outside.
  const header = Buffer.concat([stored.subarray(0, 18), Buffer.alloc(18)]);
  return header.readUInt32LE(0) === ZSTD_MAGIC ? readContentSize(header) : undefined;
}

function readContentSize(header: Buffer): number | undefined {
  const descriptor = header[4] as number;
  if ((descriptor & 0x03) !== 0) return undefined;
  const single = (descriptor & 0x20) !== 0;
  const at = single ? 5 : 6;
  switch (descriptor >> 6) {
    case 0:
      return single ? (header[at] as number) : undefined;
    case 1:
      return header.readUInt16LE(at) + 256;
    case 2:
      return header.readUInt32LE(at);
    default:
      return Number(header.readBigUInt64LE(at));
  }
}

/** Where a frame ends whose header states its content size (RFC 8878, 3.1.1); beyond `stored` when it is cut short. */
function zstdFrameEnd(stored: Buffer): number {
  const descriptor = stored[4] as number;
  const single = (descriptor & 0x20) !== 0;
  let at = 5 + (single ? 0 : 1) + ([single ? 1 : 0, 2, 4, 8][descriptor >> 6] as number);
  for (let isLast = false; !isLast; ) {
    if (at + 3 > stored.length) return stored.length + 1;
    const header = stored.readUIntLE(at, 3);
    isLast = (header & 1) === 1;
    // A run-length block stores one byte, whatever its size.
    at += 3 + (((header >> 1) & 3) === 1 ? 1 : header >> 3);
  }
  return at + ((descriptor & 0x04) === 0 ? 0 : 4);
}

function wrongSize(where: string, found: number, rawSize: number): FerryError {
  return new FerryError('damaged', `${where}: ${found} bytes cannot be the ${rawSize} bytes raw that the manifest states`);
}
