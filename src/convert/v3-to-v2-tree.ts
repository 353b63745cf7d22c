import type { TreeNode } from '../model/node.js';
import type { NoteBook } from '../model/note.js';
import { compareTreePaths, isUnder } from '../model/tree-path.js';
import { showKey } from './key-text.js';

const SLASH = 0x2f;
const EMPTY: Buffer = Buffer.alloc(0);

/** A key at its place; `dir` marks a directory that is to be there with nothing in it, too. */
export type PlacedKey = TreeNode;

/**
 * Makes a tree of keys that come in tree order, where a v3 keyspace may hold what a tree cannot: two
 * keys in one place, and a value where others need a directory. Directories are made for what lies
 * under them.
 */
export class TreeBuilder {
  readonly #notes: NoteBook;
  readonly #valueName: Buffer | undefined;
  #waiting: PlacedKey | undefined;
  /** Directories above the last node, from the root down. */
  #above: Buffer[] = [];
  /** Values of directories, to be put among what is in them; in tree order. */
  #moved: TreeNode[] = [];
  #out: TreeNode[] = [];

  /** @param valueName the name to put a directory's value under; without it such a value is left out */
  constructor(notes: NoteBook, valueName?: Buffer) {
    this.#notes = notes;
    this.#valueName = valueName;
  }

  /** Takes the next key; of two in the same place the first stands. */
  push(key: PlacedKey): void {
    const { path } = key;
    if (this.#waiting?.path.equals(path)) {
      this.#taken(path);
      return;
    }
    if (this.#waiting !== undefined) this.#settle(this.#waiting, isUnder(path, this.#waiting.path));
    this.#waiting = key;
  }

  /** No more keys come. */
  end(): void {
    if (this.#waiting !== undefined) this.#settle(this.#waiting, false);
    this.#waiting = undefined;
    for (const node of this.#moved.splice(0)) this.#emit(node);
  }

  /** The nodes that are certain by now, parents before children; each is given once. */
  take(): TreeNode[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  #settle(key: PlacedKey, hasChildren: boolean): void {
    if (!hasChildren) this.#emitInOrder(key);
    else if (!key.dir) this.#valueOfDirectory(key);
  }

  #valueOfDirectory(key: PlacedKey): void {
    const example = showKey(key.path);
    if (this.#valueName === undefined) {
      const message = 'values left out because other keys lie under theirs, which makes it a directory (--directory-value keeps them)';
      this.#notes.add('value-over-directory', message, { lossy: true, example });
      return;
    }
    this.#notes.add('value-in-directory', `values of keys that others lie under, put into the directory as ${this.#valueName}`, {
      example,
    });
    const path = Buffer.concat([key.path, Buffer.of(SLASH), this.#valueName]);
    const at = this.#moved.findIndex((other) => compareTreePaths(path, other.path) < 0);
    this.#moved.splice(at < 0 ? this.#moved.length : at, 0, { ...key, path });
  }

  /** Before a node come the values of directories that lie before it; one whose place is taken is left out. */
  #emitInOrder(node: TreeNode): void {
    for (let first = this.#moved[0]; first !== undefined && compareTreePaths(first.path, node.path) <= 0; first = this.#moved[0]) {
      this.#moved.shift();
      if (first.path.equals(node.path) || isUnder(node.path, first.path)) this.#taken(first.path);
      else this.#emit(first);
    }
    this.#emit(node);
  }

  #emit(node: TreeNode): void {
    const { path, createdIndex } = node;
    this.#above = this.#above.filter((directory) => isUnder(path, directory));
    for (let slash = path.indexOf(SLASH, (this.#above.at(-1)?.length ?? 0) + 1); slash !== -1; slash = path.indexOf(SLASH, slash + 1)) {
      const directory = path.subarray(0, slash);
      this.#above.push(directory);
      this.#out.push({ path: directory, dir: true, value: EMPTY, createdIndex, modifiedIndex: createdIndex, expiration: 0n });
    }
    this.#out.push(node);
  }

  #taken(path: Buffer): void {
    this.#notes.add('path-taken', 'keys left out because another key has their place in the tree', { lossy: true, example: showKey(path) });
  }
}
