import type { BoltFile } from './bbolt-file.js';
import { FREELIST_PAGE, LEAF_PAGE, PAGE_HEADER_BYTES } from './bbolt-meta.js';
import { boltDamage } from './bbolt-page.js';

const ID_BYTES = 8;
/** A count of this is no count: the first id is it (bbolt internal/common/page.go, FreelistPageCount). */
const COUNT_IS_FIRST = 0xffff;
const SCAN_BYTES = 1024 * 1024;

/**
 * Walks every tree of a file, as far as nobody has yet, and holds the free list that its meta page names to what bbolt makes of
 * it when it opens the file (bbolt tx_check.go, internal/freelist). Pages that are neither free nor used are nothing to it.
 *
 * @throws FerryError `damaged`
 */
export async function checkPages(file: BoltFile): Promise<void> {
  await checkFreelist(file, await reachedPages(file));
}

/** One bit for each page that a tree reaches. */
async function reachedPages(file: BoltFile): Promise<Uint8Array> {
  const buckets = await file.buckets();
  const all = new Uint8Array(Math.ceil(file.meta.pages / 8));
  join(file, all, file.meta.root, 'the root bucket');
  for (const [name, bucket] of buckets) {
    // Its entries were checked with the bucket's own.
    if ('inline' in bucket || !file.reached.has(bucket.root)) for await (const _ of file.runs(bucket, name));
    if ('root' in bucket) join(file, all, bucket.root, `bucket "${name}"`);
  }
  return all;
}

function join(file: BoltFile, all: Uint8Array, root: number, what: string): void {
  const pages = file.reached.get(root) ?? new Uint8Array();
  for (let i = 0; i < pages.length; i++) {
    const both = (all[i] as number) & (pages[i] as number);
    if (both !== 0) throw boltDamage(file.source.name, `page ${8 * i + Math.log2(both & -both)} of ${what} is another bucket's, too`);
    all[i] = (all[i] as number) | (pages[i] as number);
  }
}

async function checkFreelist(file: BoltFile, reached: Uint8Array): Promise<void> {
  const { freelist, pages } = file.meta;
  if (freelist === undefined) return;
  if (freelist < 2 || freelist >= pages) throw listDamage(file, `is page ${freelist}, of ${pages} in use`);
  const { flags, overflow, found } = await headerAt(file, freelist);
  if (found !== freelist) throw listDamage(file, `is page ${freelist}, which says it is page ${found}`);
  if (flags !== FREELIST_PAGE) throw listDamage(file, `is page ${freelist}, whose flags 0x${flags.toString(16)} are not a free list's`);
  if (freelist + overflow >= pages) throw listDamage(file, `takes pages ${freelist} to ${freelist + overflow}, of ${pages} in use`);
  const own = new Uint8Array(reached.length);
  for (let id = freelist; id <= freelist + overflow; id++) {
    if (has(reached, id)) throw listDamage(file, `takes page ${id}, which a bucket uses`);
    own[id >>> 3] = (own[id >>> 3] as number) | (1 << (id & 7));
  }
  let last = 1;
  for await (const id of freeIds(file, freelist, overflow)) {
    if (!(id >= 2 && id < pages)) throw listDamage(file, `names page ${id}, of ${pages} in use`);
    if (id <= last) throw listDamage(file, `names page ${id} after page ${last}`);
    if (has(reached, id)) throw listDamage(file, `names page ${id}, which a bucket uses`);
    if (has(own, id)) throw listDamage(file, `names page ${id}, in which it is itself`);
    last = id;
  }
}

/** The ids a free list names, read a piece at a time. */
async function* freeIds(file: BoltFile, page: number, overflow: number): AsyncGenerator<number> {
  const { pageSize } = file.meta;
  const start = page * pageSize + PAGE_HEADER_BYTES;
  const room = Math.floor(((overflow + 1) * pageSize - PAGE_HEADER_BYTES) / ID_BYTES);
  let { count } = await headerAt(file, page);
  let from = 0;
  if (count === COUNT_IS_FIRST) {
    count = idAt(file, await file.source.read(start, ID_BYTES), 0);
    from = 1;
  }
  if (count + from > room) throw listDamage(file, `says that it names ${count} pages, more than it has room for`);
  for (let done = from; done < count + from; ) {
    const many = Math.min(count + from - done, SCAN_BYTES / ID_BYTES);
    const bytes = await file.source.read(start + done * ID_BYTES, many * ID_BYTES);
    for (let i = 0; i < many; i++) yield idAt(file, bytes, i * ID_BYTES);
    done += many;
  }
}

/**
 * How many leaves with entries there are that no tree reaches: what is left of earlier transactions. After a damaged root it
 * may be all there ever was.
 *
 * @param isWanted told of the first key of a leaf
 * @throws FerryError `damaged`; the signal's reason
 */
export async function unreachedLeaves(file: BoltFile, isWanted: (key: Buffer) => boolean, signal: AbortSignal): Promise<number> {
  const { pageSize, pages } = file.meta;
  const reached = await reachedPages(file);
  const many = Math.max(1, Math.floor(SCAN_BYTES / pageSize));
  let leaves = 0;
  for (let from = 2; from < pages; from += many) {
    signal.throwIfAborted();
    const count = Math.min(many, pages - from);
    const bytes = await file.source.read(from * pageSize, count * pageSize);
    for (let i = 0; i < count; i++) {
      if (has(reached, from + i)) continue;
      const key = firstKey(file, bytes.subarray(i * pageSize, (i + 1) * pageSize), from + i);
      if (key !== undefined && isWanted(key)) leaves++;
    }
  }
  return leaves;
}

/** The first key of a page that looks like a leaf with entries. */
function firstKey(file: BoltFile, page: Buffer, id: number): Buffer | undefined {
  const { found, flags, count } = headerOf(file, page);
  if (found !== id || flags !== LEAF_PAGE || count === 0) return undefined;
  const view = new DataView(page.buffer, page.byteOffset, page.length);
  const le = file.meta.littleEndian;
  const start = PAGE_HEADER_BYTES + view.getUint32(PAGE_HEADER_BYTES + 4, le);
  return page.subarray(start, start + view.getUint32(PAGE_HEADER_BYTES + 8, le));
}

interface Header {
  readonly found: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
}

async function headerAt(file: BoltFile, page: number): Promise<Header> {
  return headerOf(file, await file.source.read(page * file.meta.pageSize, PAGE_HEADER_BYTES));
}

function headerOf(file: BoltFile, bytes: Buffer): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, PAGE_HEADER_BYTES);
  const le = file.meta.littleEndian;
  const found = Number(view.getBigUint64(0, le));
  return { found, flags: view.getUint16(8, le), count: view.getUint16(10, le), overflow: view.getUint32(12, le) };
}

function idAt(file: BoltFile, bytes: Buffer, at: number): number {
  return Number(file.meta.littleEndian ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
}

function has(pages: Uint8Array, id: number): boolean {
  return ((pages[id >>> 3] as number) & (1 << (id & 7))) !== 0;
}

function listDamage(file: BoltFile, found: string): ReturnType<typeof boltDamage> {
  return boltDamage(file.source.name, `its free list ${found}`);
}
