import { FerryError } from '../errors.js';
import { doubled } from '../model/doubled.js';
import { BRANCH_PAGE, ELEMENT_BYTES, LEAF_PAGE, PAGE_HEADER_BYTES } from './bbolt-meta.js';

/** Most elements of a page; 0xFFFF has a meaning of its own in bbolt. */
const MOST_ELEMENTS = 0xfff0;
const FIRST_CAPACITY = 1024;

/** Where pages go, in order of their numbers. */
export interface PageOutput {
  readonly pageSize: number;
  /**
   * Takes the next page.
   *
   * @param size bytes of header, element table and data together
   * @param fill writes element table and data at the offset given; not called when sizes are all that matters
   * @returns the page's number
   */
  put(flags: number, count: number, size: number, fill: (page: Buffer, at: number) => void): number;
}

/**
 * Builds one bucket's tree bottom-up, pages packed full. Entries come in order of their keys; at any
 * time only one open page a level is held.
 */
export class BoltTreeWriter {
  readonly #output: PageOutput;
  readonly #leaf = new OpenLeaf();
  readonly #branches: BranchLevel[] = [];
  #lastKey: Buffer | undefined;

  constructor(output: PageOutput) {
    this.#output = output;
  }

  /**
   * Adds an entry whose value follows its key: key `bytes[start, value)`, value `bytes[value, end)`.
   * The memory must stay as it is until `keep` is called.
   */
  add(bytes: Buffer, start: number, value: number, end: number): void {
    const need = ELEMENT_BYTES + end - start;
    if (this.#leaf.count > 0 && (this.#leaf.size + need > this.#output.pageSize || this.#leaf.count >= MOST_ELEMENTS)) this.#flush();
    this.#leaf.add(bytes, start, value, end);
  }

  /** Copies what the open page still needs of the memory that was given. */
  keep(): void {
    this.#leaf.keep();
  }

  /** @returns the number of the root page */
  finish(): number {
    if (this.#leaf.count > 0 || this.#branches.length === 0) {
      const page = this.#putLeaf();
      if (this.#branches.length === 0) return page.id;
      this.#branches[0]?.add(page);
    }
    // A level that ends makes the one above it end, which may only now come to be.
    let root = 0;
    for (let depth = 0; depth < this.#branches.length; depth++) root = (this.#branches[depth] as BranchLevel).finish();
    return root;
  }

  #flush(): void {
    const page = this.#putLeaf();
    this.#level(0).add(page);
  }

  #putLeaf(): Child {
    const key = this.#leaf.firstKey();
    if (this.#lastKey !== undefined && key !== undefined && this.#lastKey.compare(key) >= 0) {
      throw new FerryError('failed', `keys of a bucket are not in order: ${this.#lastKey.toString('hex')}, ${key.toString('hex')}`);
    }
    this.#lastKey = key;
    return { key: key ?? Buffer.alloc(0), id: this.#leaf.putInto(this.#output) };
  }

  #level(depth: number): BranchLevel {
    let level = this.#branches[depth];
    if (level === undefined) {
      level = new BranchLevel(this.#output, (page) => this.#level(depth + 1).add(page));
      this.#branches.push(level);
    }
    return level;
  }
}

/** A page below a branch, by its first key. */
interface Child {
  readonly key: Buffer;
  readonly id: number;
}

/** The leaf that is being filled: sizes of its entries, and the pieces of memory they lie in. */
class OpenLeaf {
  size = PAGE_HEADER_BYTES;
  count = 0;
  #keySizes = new Uint32Array(FIRST_CAPACITY);
  #valueSizes = new Uint32Array(FIRST_CAPACITY);
  #pieces: { readonly bytes: Buffer; readonly start: number; end: number }[] = [];

  add(bytes: Buffer, start: number, value: number, end: number): void {
    if (this.count === this.#keySizes.length) this.#grow();
    this.#keySizes[this.count] = value - start;
    this.#valueSizes[this.count] = end - value;
    this.count++;
    this.size += ELEMENT_BYTES + end - start;
    const last = this.#pieces.at(-1);
    // A batch's records follow each other, as they will in the page.
    if (last !== undefined && last.bytes === bytes && last.end === start) last.end = end;
    else this.#pieces.push({ bytes, start, end });
  }

  firstKey(): Buffer | undefined {
    const first = this.#pieces[0];
    return first === undefined ? undefined : Buffer.from(first.bytes.subarray(first.start, first.start + (this.#keySizes[0] as number)));
  }

  keep(): void {
    const bytes = Buffer.concat(this.#pieces.map((piece) => piece.bytes.subarray(piece.start, piece.end)));
    this.#pieces = bytes.length === 0 ? [] : [{ bytes, start: 0, end: bytes.length }];
  }

  putInto(output: PageOutput): number {
    const id = output.put(LEAF_PAGE, this.count, this.size, (page, at) => this.#fill(page, at));
    this.count = 0;
    this.size = PAGE_HEADER_BYTES;
    this.#pieces = [];
    return id;
  }

  #fill(page: Buffer, at: number): void {
    let data = at + this.count * ELEMENT_BYTES;
    let element = at;
    for (let i = 0; i < this.count; i++, element += ELEMENT_BYTES) {
      const keySize = this.#keySizes[i] as number;
      const valueSize = this.#valueSizes[i] as number;
      page.writeUInt32LE(0, element);
      page.writeUInt32LE(data - element, element + 4);
      page.writeUInt32LE(keySize, element + 8);
      page.writeUInt32LE(valueSize, element + 12);
      data += keySize + valueSize;
    }
    let to = at + this.count * ELEMENT_BYTES;
    for (const { bytes, start, end } of this.#pieces) to += bytes.copy(page, to, start, end);
  }

  #grow(): void {
    this.#keySizes = doubled(this.#keySizes);
    this.#valueSizes = doubled(this.#valueSizes);
  }
}

/**
 * One level of branch pages. Each gets two children at least (bbolt's rebalance asserts it), so the
 * last child seen is held back until it is known whether another one comes.
 */
class BranchLevel {
  readonly #output: PageOutput;
  readonly #put: (page: Child) => void;
  #children: Child[] = [];
  #size = PAGE_HEADER_BYTES;
  #held: Child | undefined;
  #pages = 0;

  /** @param put told of each page but a root */
  constructor(output: PageOutput, put: (page: Child) => void) {
    this.#output = output;
    this.#put = put;
  }

  add(child: Child): void {
    if (this.#held !== undefined) this.#place(this.#held, true);
    this.#held = child;
  }

  /** @returns the number of the level's last page: the root, when it is the only one */
  finish(): number {
    if (this.#held !== undefined) this.#place(this.#held, false);
    this.#held = undefined;
    const page = this.#putPage();
    if (this.#pages > 1) this.#put(page);
    return page.id;
  }

  #place(child: Child, mayFlush: boolean): void {
    const need = ELEMENT_BYTES + child.key.length;
    if (mayFlush && this.#children.length >= 2 && this.#size + need > this.#output.pageSize) this.#put(this.#putPage());
    this.#children.push(child);
    this.#size += need;
  }

  #putPage(): Child {
    const children = this.#children;
    const id = this.#output.put(BRANCH_PAGE, children.length, this.#size, (page, at) => fillBranch(page, at, children));
    this.#children = [];
    this.#size = PAGE_HEADER_BYTES;
    this.#pages++;
    return { key: (children[0] as Child).key, id };
  }
}

function fillBranch(page: Buffer, at: number, children: readonly Child[]): void {
  let element = at;
  let data = at + children.length * ELEMENT_BYTES;
  for (const { key, id } of children) {
    page.writeUInt32LE(data - element, element);
    page.writeUInt32LE(key.length, element + 4);
    page.writeBigUInt64LE(BigInt(id), element + 8);
    data += key.copy(page, data);
    element += ELEMENT_BYTES;
  }
}
