import { ELEMENT_BYTES, PAGE_HEADER_BYTES } from './bbolt-meta.js';
import { type Branch, checkTable, type LoadedPage, type PageContext, pageDamage } from './bbolt-page.js';
import type { BoltRun } from './bbolt-walk.js';

const FIRST_CAPACITY = 1024;
const EMPTY: Buffer = Buffer.alloc(0);

interface Columns {
  keys: Uint32Array;
  values: Uint32Array;
  ends: Uint32Array;
  bucketFlags: Uint8Array;
}

/**
 * Collects the entries of leaf pages that lie in one piece of memory, and checks that keys ascend,
 * in a page and from page to page. Two sets of columns are used in turn.
 */
export class RunBuilder {
  readonly #context: PageContext;
  #columns = newColumns(FIRST_CAPACITY);
  #otherColumns = newColumns(FIRST_CAPACITY);
  #bytes: Buffer = EMPTY;
  #count = 0;
  /** The last key met, in memory of its own once its run is taken. */
  #lastBytes: Buffer = EMPTY;
  #lastStart = 0;
  #lastEnd = 0;

  constructor(context: PageContext) {
    this.#context = context;
  }

  get count(): number {
    return this.#count;
  }

  /** True when the page's entries can be added to the current run: it is empty, or in the same memory. */
  takes(page: LoadedPage): boolean {
    return this.#count === 0 || page.bytes === this.#bytes;
  }

  /**
   * Adds the entries of a leaf page.
   *
   * @param from the key the page's parent gives for it; its keys may not be smaller
   * @throws FerryError `damaged` for entries outside the page or out of order
   */
  add(page: LoadedPage, count: number, from: Buffer): this {
    checkTable(this.#context, page, count);
    this.#reserve(this.#count + count);
    this.#bytes = page.bytes;
    this.#checkBound(page.id, from);
    if (count === 0) return this;
    const first = this.#count;
    this.#addElements(page, count);
    const { keys, values } = this.#columns;
    if (compareSlices(page.bytes, keys[first] as number, values[first] as number, from, 0, from.length) < 0) {
      throw pageDamage(this.#context, page.id, 'begins with a smaller key than the branch above it says');
    }
    return this;
  }

  /** The run so far; the next one begins empty. */
  take(): BoltRun {
    const run = { bytes: this.#bytes, ...this.#columns, count: this.#count };
    if (this.#count > 0) {
      this.#lastBytes = Buffer.from(this.#lastBytes.subarray(this.#lastStart, this.#lastEnd));
      this.#lastEnd -= this.#lastStart;
      this.#lastStart = 0;
    }
    [this.#columns, this.#otherColumns] = [this.#otherColumns, this.#columns];
    this.#count = 0;
    return run;
  }

  /**
   * Checks a branch's keys: not below the key its parent gives for it, ascending, and above every
   * key met so far.
   *
   * @throws FerryError `damaged`
   */
  checkBranch(id: number, branch: Branch, from: Buffer): void {
    let previous = from;
    branch.keys.forEach((key, i) => {
      const order = previous.compare(key);
      if (order > 0 || (order === 0 && i > 0)) throw pageDamage(this.#context, id, `has its keys out of order at element ${i}`);
      previous = key;
    });
    const first = branch.keys[0] as Buffer;
    const seen = this.#lastBytes.subarray(this.#lastStart, this.#lastEnd);
    if (seen.length > 0 && seen.compare(first) >= 0) throw pageDamage(this.#context, id, 'begins with a key that came before it');
  }

  /** Keys of one page are below the key that the branch gives for the next, which bbolt's own check demands, too. */
  #checkBound(id: number, from: Buffer): void {
    if (from.length === 0 || this.#lastEnd === this.#lastStart) return;
    if (compareSlices(this.#lastBytes, this.#lastStart, this.#lastEnd, from, 0, from.length) < 0) return;
    throw pageDamage(this.#context, id, 'has keys before it that are not below the one the branch above it says');
  }

  #addElements(page: LoadedPage, count: number): void {
    const { keys, values, ends, bucketFlags } = this.#columns;
    const bytes = page.bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const le = this.#context.littleEndian;
    const pageEnd = page.at + page.length;
    let element = page.at + PAGE_HEADER_BYTES;
    let dataAt = element + count * ELEMENT_BYTES;
    let lastBytes = this.#lastBytes;
    let lastStart = this.#lastStart;
    let lastEnd = this.#lastEnd;
    let n = this.#count;
    for (let i = 0; i < count; i++, n++, element += ELEMENT_BYTES) {
      const keyAt = element + view.getUint32(element + 4, le);
      const valueAt = keyAt + view.getUint32(element + 8, le);
      const end = valueAt + view.getUint32(element + 12, le);
      if (keyAt < dataAt || end > pageEnd) throw pageDamage(this.#context, page.id, `has entry ${i} outside its bytes`);
      if (compareSlices(lastBytes, lastStart, lastEnd, bytes, keyAt, valueAt) >= 0) {
        throw pageDamage(this.#context, page.id, `has its keys out of order at entry ${i}`);
      }
      keys[n] = keyAt;
      values[n] = valueAt;
      ends[n] = end;
      bucketFlags[n] = view.getUint32(element, le) & 1;
      dataAt = end;
      lastBytes = bytes;
      lastStart = keyAt;
      lastEnd = valueAt;
    }
    this.#lastBytes = lastBytes;
    this.#lastStart = lastStart;
    this.#lastEnd = lastEnd;
    this.#count = n;
  }

  #reserve(count: number): void {
    const have = this.#columns.ends.length;
    if (count <= have) return;
    const grown = newColumns(Math.max(count, 2 * have));
    grown.keys.set(this.#columns.keys);
    grown.values.set(this.#columns.values);
    grown.ends.set(this.#columns.ends);
    grown.bucketFlags.set(this.#columns.bucketFlags);
    this.#columns = grown;
  }
}

function newColumns(capacity: number): Columns {
  return {
    keys: new Uint32Array(capacity),
    values: new Uint32Array(capacity),
    ends: new Uint32Array(capacity),
    bucketFlags: new Uint8Array(capacity),
  };
}

/** Unsigned bytewise order, a prefix first. In the language itself: keys are short, and native calls are not free. */
function compareSlices(a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): number {
  const shared = Math.min(aEnd - aStart, bEnd - bStart);
  for (let i = 0; i < shared; i++) {
    const difference = (a[aStart + i] as number) - (b[bStart + i] as number);
    if (difference !== 0) return difference;
  }
  return aEnd - aStart - (bEnd - bStart);
}
