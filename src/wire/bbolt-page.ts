import { FerryError } from '../errors.js';
import { BRANCH_PAGE, ELEMENT_BYTES, LEAF_PAGE, PAGE_HEADER_BYTES } from './bbolt-meta.js';

/** A logical page in memory: its own bytes and those of its overflow pages. */
export interface LoadedPage {
  /** Number the page was asked for by; 0 for a page inside a bucket's entry. */
  readonly id: number;
  readonly bytes: Buffer;
  readonly at: number;
  readonly length: number;
}

export interface PageHeader {
  readonly kind: 'branch' | 'leaf';
  readonly count: number;
  /** Number of further pages that belong to this one. */
  readonly overflow: number;
}

/** What every page's reading needs to know. */
export interface PageContext {
  /** The file's name, for messages. */
  readonly name: string;
  readonly littleEndian: boolean;
  /** What is read, for messages: `bucket "key"`. */
  readonly what: string;
}

/** A `damaged` error about a bbolt file. */
export function boltDamage(name: string, found: string): FerryError {
  return new FerryError('damaged', `${name}: ${found}`, {
    hint: 'The file is damaged or incomplete: take it from its origin again, or use another one.',
  });
}

/** A `damaged` error about one page. */
export function pageDamage(context: PageContext, id: number, found: string): FerryError {
  const which = id === 0 ? 'the inline page' : `page ${id}`;
  return boltDamage(context.name, `${which} of ${context.what} ${found}`);
}

/**
 * Reads and checks the header of a page: its number is the one asked for, it is a branch or a leaf,
 * and its element table fits `length`.
 *
 * @throws FerryError `damaged`
 */
export function readPageHeader(context: PageContext, bytes: Buffer, at: number, id: number): PageHeader {
  const le = context.littleEndian;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, PAGE_HEADER_BYTES);
  const found = Number(view.getBigUint64(0, le));
  if (found !== id) throw pageDamage(context, id, `says it is page ${found}`);
  const flags = view.getUint16(8, le);
  if (flags !== BRANCH_PAGE && flags !== LEAF_PAGE) {
    throw pageDamage(context, id, `has flags 0x${flags.toString(16)}, neither a branch's nor a leaf's`);
  }
  return { kind: flags === LEAF_PAGE ? 'leaf' : 'branch', count: view.getUint16(10, le), overflow: view.getUint32(12, le) };
}

/** Checks that the element table of a page lies inside it. */
export function checkTable(context: PageContext, page: LoadedPage, count: number): void {
  const table = PAGE_HEADER_BYTES + count * ELEMENT_BYTES;
  if (table > page.length) throw pageDamage(context, page.id, `says it has ${count} elements, more than fit its ${page.length} bytes`);
}

/** The children of a branch page, and where each one's first key lies in the page's bytes. */
export interface Branch {
  readonly children: number[];
  readonly keys: readonly Buffer[];
}

/**
 * Reads a branch page. Keys share the page's memory.
 *
 * @throws FerryError `damaged` when an element reaches beyond the page
 */
export function readBranch(context: PageContext, page: LoadedPage, count: number): Branch {
  checkTable(context, page, count);
  if (count === 0) throw pageDamage(context, page.id, 'is a branch with nothing in it');
  const view = new DataView(page.bytes.buffer, page.bytes.byteOffset, page.bytes.length);
  const le = context.littleEndian;
  const children: number[] = [];
  const keys: Buffer[] = [];
  let dataAt = page.at + PAGE_HEADER_BYTES + count * ELEMENT_BYTES;
  for (let i = 0; i < count; i++) {
    const element = page.at + PAGE_HEADER_BYTES + i * ELEMENT_BYTES;
    const start = element + view.getUint32(element, le);
    const end = start + view.getUint32(element + 4, le);
    if (start < dataAt || end > page.at + page.length) throw pageDamage(context, page.id, `has element ${i} outside its bytes`);
    children.push(Number(view.getBigUint64(element + 8, le)));
    keys.push(page.bytes.subarray(start, end));
    dataAt = end;
  }
  return { children, keys };
}
