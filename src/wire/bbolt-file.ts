import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { type BoltMeta, decodeMeta, META_PAGE_BYTES, type MetaState } from './bbolt-meta.js';
import { boltDamage } from './bbolt-page.js';
import { type BoltRun, lastKeyOf, runsOf } from './bbolt-walk.js';

const SMALLEST_PAGE = 1024;
const PAGE_SIZES = 15;
// etcd has ten; a root bucket of very many is no etcd's.
const MOST_BUCKETS = 1000;
const BUCKET_HEADER_BYTES = 16;

/** A top-level bucket: the number of its root page, or its one page where it lies in the bucket's entry. */
export type BoltBucket = { readonly root: number } | { readonly inline: Buffer };

/** A bbolt file, read page by page (the format: bbolt's internal/common and db.go). */
export class BoltFile {
  readonly source: ByteSource;
  readonly meta: BoltMeta;
  /** By root: the pages of every tree that was read to its end, one bit each. */
  readonly reached: Map<number, Uint8Array> = new Map();

  private constructor(source: ByteSource, meta: BoltMeta) {
    this.source = source;
    this.meta = meta;
  }

  /**
   * Finds page size, byte order and the newest valid meta page.
   *
   * @throws FerryError `damaged` when there is none, or the file ends before its pages do;
   * `unknown-format` for a version of bbolt's format other than 2
   */
  static async open(source: ByteSource): Promise<BoltFile> {
    const metas = await findMetas(source);
    const valid = metas.filter((meta) => typeof meta === 'object');
    const newest = valid.sort((a, b) => (a.txid < b.txid ? 1 : -1))[0];
    if (newest === undefined) throw noMeta(source.name, metas);
    const end = newest.pages * newest.pageSize;
    if (newest.pages < 3 || newest.root >= newest.pages || newest.root < 2) {
      throw boltDamage(source.name, `the meta page names page ${newest.root} of ${newest.pages} as the root`);
    }
    if (end > source.size) {
      throw boltDamage(source.name, `it ends after ${source.size} bytes, where its pages take ${end}`);
    }
    return new BoltFile(source, newest);
  }

  /** Bytes that the pages in use take; what follows them is not bbolt's. */
  get usedBytes(): number {
    return this.meta.pages * this.meta.pageSize;
  }

  /**
   * The top-level buckets by name (a name is bytes, read as latin1).
   *
   * @throws FerryError `damaged`
   */
  async buckets(): Promise<Map<string, BoltBucket>> {
    const buckets = new Map<string, BoltBucket>();
    for await (const run of runsOf(this, { root: this.meta.root }, 'root bucket')) {
      for (let i = 0; i < run.count; i++) {
        const name = run.bytes.toString('latin1', run.keys[i], run.values[i]);
        if (run.bucketFlags[i] === 0) throw boltDamage(this.source.name, `the root bucket holds "${name}", which is no bucket`);
        buckets.set(name, bucketOf(run.bytes.subarray(run.values[i], run.ends[i]), this, name));
      }
      if (buckets.size > MOST_BUCKETS) throw boltDamage(this.source.name, `its root bucket holds more than ${MOST_BUCKETS} buckets`);
    }
    return buckets;
  }

  /**
   * All entries of a bucket, in order of their keys. A run's memory is used again: it is valid until
   * the next one is asked for.
   *
   * @throws FerryError `damaged`
   */
  async *runs(bucket: BoltBucket, name: string): AsyncGenerator<BoltRun> {
    for await (const run of runsOf(this, bucket, `bucket "${name}"`)) {
      const nested = run.bucketFlags.subarray(0, run.count).indexOf(1);
      if (nested >= 0) throw boltDamage(this.source.name, `bucket "${name}" holds another bucket, as etcd's never do`);
      yield run;
    }
  }

  /** The entries of a bucket one by one, in memory of their own; for small buckets. */
  async *entries(bucket: BoltBucket, name: string): AsyncGenerator<readonly [key: Buffer, value: Buffer]> {
    for await (const run of this.runs(bucket, name)) {
      const bytes = Buffer.from(run.bytes);
      for (let i = 0; i < run.count; i++) {
        yield [bytes.subarray(run.keys[i], run.values[i]), bytes.subarray(run.values[i], run.ends[i])];
      }
    }
  }

  /** The last key of a bucket; undefined when it is empty. */
  lastKey(bucket: BoltBucket, name: string): Promise<Buffer | undefined> {
    return lastKeyOf(this, bucket, `bucket "${name}"`);
  }
}

/** True for a file with a meta page of bbolt's, whole or damaged, where one can be. */
export async function isBoltFile(source: ByteSource): Promise<boolean> {
  return (await findMetas(source)).some((meta) => meta !== 'absent');
}

/** Meta 0 tells where meta 1 is; without it every page size is tried, as bbolt's getPageSize does. */
async function findMetas(source: ByteSource): Promise<MetaState[]> {
  const first = await metaAt(source, 0);
  if (typeof first === 'object') return [first, await metaAt(source, first.pageSize)];
  const states = [first];
  for (let i = 0; i < PAGE_SIZES; i++) {
    const size = SMALLEST_PAGE << i;
    const state = await metaAt(source, size);
    // A meta of another page size here is the content of a page.
    if (typeof state !== 'object') states.push(state);
    else if (state.pageSize === size) return [...states, state];
  }
  return states;
}

async function metaAt(source: ByteSource, offset: number): Promise<MetaState> {
  if (offset + META_PAGE_BYTES > source.size) return 'absent';
  return decodeMeta(await source.read(offset, META_PAGE_BYTES));
}

function noMeta(name: string, metas: readonly MetaState[]): FerryError {
  if (metas.includes('other-version')) {
    return new FerryError('unknown-format', `${name}: a bbolt file of another version than 2`, {
      hint: 'A newer release of etcdferry may read it.',
    });
  }
  if (metas.includes('damaged')) return boltDamage(name, 'neither of its two meta pages is valid');
  return boltDamage(name, 'not a bbolt file: there is no meta page in it');
}

function bucketOf(value: Buffer, file: BoltFile, name: string): BoltBucket {
  if (value.length < BUCKET_HEADER_BYTES) {
    throw boltDamage(file.source.name, `the entry of bucket "${name}" has ${value.length} bytes, not 16`);
  }
  const root = Number(file.meta.littleEndian ? value.readBigUInt64LE() : value.readBigUInt64BE());
  return root === 0 ? { inline: Buffer.from(value.subarray(BUCKET_HEADER_BYTES)) } : { root };
}
