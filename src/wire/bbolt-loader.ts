import type { ByteSource } from '../model/bytes.js';
import type { BoltFile } from './bbolt-file.js';
import { boltDamage, type LoadedPage, type PageContext, type PageHeader, pageDamage, readPageHeader } from './bbolt-page.js';
import { readInto } from './read-into.js';

/** Bytes read for one run. More do not fit the processor's cache and are slower. */
const CHUNK_BYTES = 256 * 1024;
/** Pages this close to each other are read in one piece, with what lies between. */
const GAP_BYTES = 16 * 1024;
/** Largest logical page that is read. etcd's requests end at 1.5 MiB unless configured otherwise. */
const LARGEST_PAGE_BYTES = 512 * 1024 * 1024;

/** Neighbouring pages, read in one piece. */
interface Piece {
  readonly first: number;
  readonly pages: number;
  /** Indices into the list of page numbers. */
  readonly from: number;
  readonly to: number;
  /** Offset in the arena. */
  readonly at: number;
}

/** Reads pages by number into two pieces of memory used in turn, and keeps account of which were met. */
export class PageLoader {
  readonly #source: ByteSource;
  readonly #context: PageContext;
  readonly #pageSize: number;
  readonly #pages: number;
  /** One bit a page: those met, overflow pages too. */
  readonly seen: Uint8Array;
  #arena: Buffer;
  #otherArena: Buffer;

  constructor(file: BoltFile, context: PageContext) {
    this.#source = file.source;
    this.#context = context;
    this.#pageSize = file.meta.pageSize;
    this.#pages = file.meta.pages;
    this.seen = new Uint8Array(Math.ceil(file.meta.pages / 8));
    // Room for pieces that end just past the limit, and for pages with overflow.
    const size = 2 * CHUNK_BYTES + this.#pageSize;
    this.#arena = Buffer.allocUnsafeSlow(size);
    this.#otherArena = Buffer.allocUnsafeSlow(size);
  }

  /** From now on the other piece of memory is filled. */
  turn(): void {
    [this.#arena, this.#otherArena] = [this.#otherArena, this.#arena];
  }

  /**
   * Reads the pages `ids[from]`, `ids[from + 1]` … up to `ids[to]`: the first one always, others as
   * long as there is room.
   *
   * @throws FerryError `damaged`
   */
  async load(ids: readonly number[], from: number, to: number): Promise<LoadedPage[]> {
    const pieces = this.#plan(ids, from, to);
    await Promise.all(pieces.map((piece) => this.#fill(piece.at, piece.first, piece.pages)));
    return this.#cut(ids, pieces);
  }

  /**
   * The header of a loaded page, which is thereby met.
   *
   * @throws FerryError `damaged` when it, or a page that belongs to it, was met before
   */
  visit(page: LoadedPage): PageHeader {
    const header = readPageHeader(this.#context, page.bytes, page.at, page.id);
    for (let id = page.id; id <= page.id + header.overflow; id++) {
      const bit = 1 << (id & 7);
      const byte = this.seen[id >>> 3] as number;
      if ((byte & bit) !== 0) throw pageDamage(this.#context, id, 'is reached twice: the tree is not a tree');
      this.seen[id >>> 3] = byte | bit;
    }
    return header;
  }

  #plan(ids: readonly number[], from: number, to: number): Piece[] {
    const pieces: Piece[] = [];
    let at = 0;
    for (let i = from; i < to && at < CHUNK_BYTES; ) {
      const first = this.#checked(ids[i] as number);
      let pages = 1;
      let j = i + 1;
      for (; j < to; j++) {
        const id = ids[j] as number;
        const reach = id - first + 1;
        if (!(reach > pages) || (reach - pages - 1) * this.#pageSize > GAP_BYTES) break;
        if (at + reach * this.#pageSize > CHUNK_BYTES) break;
        this.#checked(id);
        pages = reach;
      }
      pieces.push({ first, pages, from: i, to: j, at });
      at += pages * this.#pageSize;
      i = j;
    }
    return pieces;
  }

  /** Finds each page in the pieces; those whose overflow pages are not there are read by themselves. */
  async #cut(ids: readonly number[], pieces: readonly Piece[]): Promise<LoadedPage[]> {
    const loaded: LoadedPage[] = [];
    const last = pieces.at(-1) as Piece;
    let free = last.at + last.pages * this.#pageSize;
    for (const piece of pieces) {
      for (let i = piece.from; i < piece.to; i++) {
        const id = ids[i] as number;
        const at = piece.at + (id - piece.first) * this.#pageSize;
        const pages = readPageHeader(this.#context, this.#arena, at, id).overflow + 1;
        const length = pages * this.#pageSize;
        if (id + pages > this.#pages)
          throw pageDamage(this.#context, id, `says ${pages - 1} more pages belong to it, past the file's last`);
        if (id + pages <= piece.first + piece.pages) {
          loaded.push({ id, bytes: this.#arena, at, length });
        } else if (free + length <= this.#arena.length) {
          await this.#fill(free, id, pages);
          loaded.push({ id, bytes: this.#arena, at: free, length });
          free += length;
        } else {
          // Too large for the arena: it comes alone, or last.
          if (loaded.length === 0) loaded.push({ id, bytes: await this.#readLarge(id, length), at: 0, length });
          return loaded;
        }
      }
    }
    return loaded;
  }

  async #readLarge(id: number, length: number): Promise<Buffer> {
    if (length > LARGEST_PAGE_BYTES) {
      throw pageDamage(this.#context, id, `takes ${length} bytes, where at most ${LARGEST_PAGE_BYTES} are read`);
    }
    return this.#source.read(id * this.#pageSize, length);
  }

  async #fill(at: number, first: number, pages: number): Promise<void> {
    await readInto(this.#source, this.#arena.subarray(at, at + pages * this.#pageSize), first * this.#pageSize);
  }

  #checked(id: number): number {
    if (id >= 2 && id < this.#pages) return id;
    throw boltDamage(this.#context.name, `${this.#context.what} refers to page ${id}; pages 2 to ${this.#pages - 1} are in use`);
  }
}
