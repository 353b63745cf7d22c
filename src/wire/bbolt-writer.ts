import { FerryError } from '../errors.js';
import { encodeMeta, FREELIST_PAGE, isPageSize, LEAF_PAGE, PAGE_HEADER_BYTES } from './bbolt-meta.js';
import { BoltTreeWriter, type PageOutput } from './bbolt-tree-writer.js';

const CHUNK_BYTES = 1024 * 1024;
const FIRST_PAGE = 2;
const BUCKET_ELEMENT_BYTES = 16;
const BUCKET_VALUE_BYTES = 16;
const IS_BUCKET = 1;

/**
 * Transaction of the files written here. No other writer's files have it: bbolt begins at 1 and counts by one, also where it
 * goes on from here, or copies a file's buckets into a new one. It is even, as page 0 holds those (bbolt internal/common/meta.go, Write).
 */
export const WRITTEN_TXID = 0x6665727278n;

/** Entries of a bucket, in order, valid until the next run is asked for: key `bytes[starts[i], values[i])`, value `bytes[values[i], ends[i])`. */
export interface EntryRun {
  readonly bytes: Buffer;
  readonly starts: ArrayLike<number>;
  readonly values: ArrayLike<number>;
  readonly ends: ArrayLike<number>;
  readonly count: number;
}

/** A bucket to be written. Its entries are gone through twice, and must be the same both times. */
export interface BucketContent {
  readonly name: string;
  readonly entries: () => AsyncIterable<EntryRun>;
  /** The entries for the first of the two times, which needs no values: what is just past a key may be anything, `ends` may lie beyond `bytes`. */
  readonly planned?: () => AsyncIterable<EntryRun>;
}

/** What writing all buckets, the root and the free list comes to. */
export interface BoltPlan {
  readonly root: number;
  readonly pages: number;
}

/**
 * The first pass over the entries: how many pages there will be, which the meta pages at the front say.
 *
 * @param buckets in order of their names
 * @throws FerryError `usage` for a page size that bbolt has not
 */
export async function planBoltFile(pageSize: number, buckets: readonly BucketContent[]): Promise<BoltPlan> {
  if (!isPageSize(pageSize)) throw new FerryError('usage', `page size ${pageSize} is no power of two from 1024 to 16777216`);
  return writePages(new PageCounter(pageSize), buckets.map(asPlanned));
}

/**
 * Writes a bbolt file from its first byte to its last. Every page is in use, and the free list is there
 * and empty.
 *
 * @param write takes the next bytes of the file, and may keep their memory
 * @param buckets in order of their names
 * @param plan of the same buckets; made unless given
 * @returns the size of the file in bytes
 */
export async function writeBoltFile(
  write: (chunk: Buffer) => Promise<void>,
  pageSize: number,
  buckets: readonly BucketContent[],
  plan?: BoltPlan,
): Promise<number> {
  const planned = plan ?? (await planBoltFile(pageSize, buckets));
  const pages = new PageWriter(pageSize, write);
  pages.putMetas(planned.root, planned.pages);
  const written = await writePages(pages, buckets);
  if (written.pages !== planned.pages) throw new FerryError('failed', 'the source gave other records when it was read again');
  await pages.flush();
  return planned.pages * pageSize;
}

function asPlanned({ name, entries, planned = entries }: BucketContent): BucketContent {
  return { name, entries: planned };
}

async function writePages(output: PageOutput & { drain?: () => Promise<void> }, buckets: readonly BucketContent[]): Promise<BoltPlan> {
  const roots: number[] = [];
  for (const bucket of buckets) {
    const tree = new BoltTreeWriter(output);
    for await (const { bytes, starts, values, ends, count } of bucket.entries()) {
      for (let i = 0; i < count; i++) tree.add(bytes, starts[i] as number, values[i] as number, ends[i] as number);
      tree.keep();
      await output.drain?.();
    }
    roots.push(tree.finish());
  }
  const root = putRoot(output, buckets, roots);
  // An empty list, so that no server has to look through the file for free pages.
  const freelist = output.put(FREELIST_PAGE, 0, PAGE_HEADER_BYTES, () => {});
  return { root, pages: freelist + 1 };
}

/** The leaf that holds the buckets: of each its name, the page of its root, and a sequence of 0. */
function putRoot(output: PageOutput, buckets: readonly BucketContent[], roots: readonly number[]): number {
  const names = buckets.map((bucket) => Buffer.from(bucket.name));
  const table = names.length * BUCKET_ELEMENT_BYTES;
  const data = names.reduce((sum, name) => sum + name.length + BUCKET_VALUE_BYTES, 0);
  return output.put(LEAF_PAGE, names.length, PAGE_HEADER_BYTES + table + data, (page, at) => {
    let to = at + table;
    names.forEach((name, i) => {
      const element = at + i * BUCKET_ELEMENT_BYTES;
      page.writeUInt32LE(IS_BUCKET, element);
      page.writeUInt32LE(to - element, element + 4);
      page.writeUInt32LE(name.length, element + 8);
      page.writeUInt32LE(BUCKET_VALUE_BYTES, element + 12);
      to += name.copy(page, to);
      page.writeBigUInt64LE(BigInt(roots[i] as number), to);
      page.writeBigUInt64LE(0n, to + 8);
      to += BUCKET_VALUE_BYTES;
    });
  });
}

/** Hands out page numbers, and writes nothing. */
class PageCounter implements PageOutput {
  readonly pageSize: number;
  #next = FIRST_PAGE;

  constructor(pageSize: number) {
    this.pageSize = pageSize;
  }

  put(_flags: number, _count: number, size: number): number {
    const id = this.#next;
    this.#next += Math.ceil(size / this.pageSize);
    return id;
  }
}

/** Writes pages one after the other, a megabyte at a time. */
class PageWriter implements PageOutput {
  readonly pageSize: number;
  readonly #write: (chunk: Buffer) => Promise<void>;
  #next = FIRST_PAGE;
  #chunk: Buffer;
  #used = 0;
  #full: Buffer[] = [];

  constructor(pageSize: number, write: (chunk: Buffer) => Promise<void>) {
    this.pageSize = pageSize;
    this.#write = write;
    this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, 2 * pageSize));
  }

  /** Pages 0 and 1: the same meta twice, as a snapshot has it, but for the transaction's number. */
  putMetas(root: number, pages: number): void {
    for (const id of [0, 1]) {
      const at = this.#take(this.pageSize);
      const page = this.#chunk.fill(0, at, at + this.pageSize).subarray(at, at + this.pageSize);
      encodeMeta(page, id, { pageSize: this.pageSize, root, freelist: pages - 1, pages, txid: WRITTEN_TXID - BigInt(id) });
    }
  }

  put(flags: number, count: number, size: number, fill: (page: Buffer, at: number) => void): number {
    const id = this.#next;
    const pages = Math.ceil(size / this.pageSize);
    const at = this.#take(pages * this.pageSize);
    const chunk = this.#chunk;
    chunk.writeBigUInt64LE(BigInt(id), at);
    chunk.writeUInt16LE(flags, at + 8);
    chunk.writeUInt16LE(count, at + 10);
    chunk.writeUInt32LE(pages - 1, at + 12);
    fill(chunk, at + PAGE_HEADER_BYTES);
    chunk.fill(0, at + size, at + pages * this.pageSize);
    this.#next += pages;
    return id;
  }

  /** Writes what is full. */
  async drain(): Promise<void> {
    const full = this.#full;
    this.#full = [];
    for (const chunk of full) await this.#write(chunk);
  }

  async flush(): Promise<void> {
    if (this.#used > 0) this.#full.push(this.#chunk.subarray(0, this.#used));
    this.#used = 0;
    this.#chunk = Buffer.alloc(0);
    await this.drain();
  }

  /** Room for `length` bytes in the chunk, or in a new one. */
  #take(length: number): number {
    if (this.#used + length > this.#chunk.length) {
      if (this.#used > 0) this.#full.push(this.#chunk.subarray(0, this.#used));
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, length));
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += length;
    return at;
  }
}
