/** Bytes of a page's header (bbolt internal/common/page.go). */
export const PAGE_HEADER_BYTES = 16;
/** Bytes of one entry of a page's element table, in leaf and branch pages alike. */
export const ELEMENT_BYTES = 16;
/** Bytes of a page's header and the meta after it. */
export const META_PAGE_BYTES = 80;

export const BRANCH_PAGE = 0x01;
export const LEAF_PAGE = 0x02;
export const META_PAGE = 0x04;
export const FREELIST_PAGE = 0x10;

const MAGIC = 0xed0cdaed;
const VERSION = 2;
/** Where a free list would be named (bbolt internal/common/types.go, PgidNoFreelist). */
const NO_FREELIST = 2n ** 64n - 1n;
const META_AT = 16;
const CHECKSUM_AT = 56;
const FNV_OFFSET = 0xcbf29ce484222325n;
const FNV_PRIME = 0x100000001b3n;

/** The fields of a bbolt meta page (bbolt internal/common/meta.go). */
export interface BoltMeta {
  /** Byte order of the machine that wrote the file. */
  readonly littleEndian: boolean;
  readonly pageSize: number;
  /** Page number of the root bucket's root. */
  readonly root: number;
  /** Page number of the free list; undefined where there is none, as in etcd's own files: bbolt then finds free pages itself. */
  readonly freelist: number | undefined;
  /** Number of pages in use: the first page number that is not. */
  readonly pages: number;
  readonly txid: bigint;
}

/** What is found where a meta page is expected. */
export type MetaState = BoltMeta | 'other-version' | 'damaged' | 'absent';

/**
 * Reads a meta page: `absent` without bbolt's magic number, `damaged` when its checksum is wrong,
 * `other-version` when it is right and the version is not 2.
 *
 * @param page the first 80 bytes of the page
 */
export function decodeMeta(page: Buffer): MetaState {
  if (page.length < META_PAGE_BYTES) return 'absent';
  const view = new DataView(page.buffer, page.byteOffset + META_AT, META_PAGE_BYTES - META_AT);
  const littleEndian = view.getUint32(0, true) === MAGIC;
  if (!littleEndian && view.getUint32(0, false) !== MAGIC) return 'absent';
  if (view.getBigUint64(CHECKSUM_AT, littleEndian) !== fnv1a(page.subarray(META_AT, META_AT + CHECKSUM_AT))) return 'damaged';
  if (view.getUint32(4, littleEndian) !== VERSION) return 'other-version';
  const pageSize = view.getUint32(8, littleEndian);
  if (!isPageSize(pageSize)) return 'damaged';
  const freelist = view.getBigUint64(32, littleEndian);
  return {
    littleEndian,
    pageSize,
    root: Number(view.getBigUint64(16, littleEndian)),
    freelist: freelist === NO_FREELIST ? undefined : Number(freelist),
    pages: Number(view.getBigUint64(40, littleEndian)),
    txid: view.getBigUint64(48, littleEndian),
  };
}

/** Writes a page's header and a meta into the first 80 bytes of `page`, little-endian; sequence and flags are 0. */
export function encodeMeta(page: Buffer, id: number, meta: Omit<BoltMeta, 'littleEndian'>): void {
  page.writeUInt32LE(id, 0);
  page.writeUInt16LE(META_PAGE, 8);
  page.writeUInt32LE(MAGIC, META_AT);
  page.writeUInt32LE(VERSION, META_AT + 4);
  page.writeUInt32LE(meta.pageSize, META_AT + 8);
  page.writeBigUInt64LE(BigInt(meta.root), META_AT + 16);
  page.writeBigUInt64LE(meta.freelist === undefined ? NO_FREELIST : BigInt(meta.freelist), META_AT + 32);
  page.writeBigUInt64LE(BigInt(meta.pages), META_AT + 40);
  page.writeBigUInt64LE(meta.txid, META_AT + 48);
  page.writeBigUInt64LE(fnv1a(page.subarray(META_AT, META_AT + CHECKSUM_AT)), META_AT + CHECKSUM_AT);
}

/** Powers of two from 1 KiB to 16 MiB, as bbolt looks for them. */
export function isPageSize(size: number): boolean {
  return size >= 1024 && size <= 16 << 20 && (size & (size - 1)) === 0;
}

/** FNV-1a of 64 bits. */
function fnv1a(bytes: Buffer): bigint {
  let hash = FNV_OFFSET;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * FNV_PRIME);
  return hash;
}
