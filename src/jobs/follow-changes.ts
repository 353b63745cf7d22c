import type { V2Event } from '../cluster/v2-watch.js';
import type { KeyMapping } from '../convert/key-mapping.js';
import { showKey } from '../convert/key-text.js';
import type { TreeNode } from '../model/node.js';
import type { NoteBook } from '../model/note.js';
import type { KeySelection } from '../model/source.js';
import { compareTreePaths, isHidden, isUnder } from '../model/tree-path.js';
import { isSelected } from '../selection/select.js';
import type { Expirations } from './follow-expirations.js';

export interface ChangesOptions {
  readonly selection: KeySelection;
  readonly mapping: KeyMapping;
  readonly notes: NoteBook;
}

/** What a run of changes of a v2 store comes to, once all of them have happened. */
export class Changes {
  /** Files that are as given from now on, or gone (undefined); by path, as latin1. */
  readonly #files = new Map<string, { readonly path: Buffer; readonly node: TreeNode | undefined }>();
  #directories: Buffer[] = [];
  #mustReread = false;
  readonly #expirations: Expirations;
  readonly #o: ChangesOptions;

  constructor(expirations: Expirations, options: ChangesOptions) {
    this.#expirations = expirations;
    this.#o = options;
  }

  /** Something has changed that its event does not tell all of, so that the tree must be read anew. */
  get mustReread(): boolean {
    return this.#mustReread;
  }

  get isEmpty(): boolean {
    return this.#files.size === 0 && this.#directories.length === 0;
  }

  /** Directories that went with all that was under them, perhaps to be made again. */
  get directories(): readonly Buffer[] {
    return this.#directories;
  }

  /** Files that are gone. */
  gone(): Buffer[] {
    return [...this.#files.values()].flatMap(({ path, node }) => (node === undefined ? [path] : []));
  }

  /** Files as they are now, and the directories with a TTL above them, in tree order. */
  nodes(): TreeNode[] {
    const nodes = new Map<string, TreeNode>();
    for (const { path, node } of this.#files.values()) {
      if (node === undefined) continue;
      for (const above of this.#expirations.above(path)) nodes.set(above.path.toString('latin1'), above);
      nodes.set(path.toString('latin1'), node);
    }
    return [...nodes.values()].sort((a, b) => compareTreePaths(a.path, b.path));
  }

  reread(): void {
    this.#mustReread = true;
  }

  clear(): void {
    this.#files.clear();
    this.#directories = [];
    this.#mustReread = false;
  }

  /**
   * Adds a change.
   *
   * @returns whether it is one that counts: hidden nodes that were not asked for do not
   */
  add(event: V2Event): boolean {
    const { action, node } = event;
    if (isHidden(node.path)) return false;
    if (event.bytesLost && this.#cannotTell(event)) return false;
    if (action === 'delete' || action === 'compareAndDelete' || action === 'expire') this.#remove(node);
    else if (node.dir) this.#directory(event);
    else this.file(node);
    return true;
  }

  /** A file that is so now. */
  file(node: TreeNode): void {
    // What was looked at since is newer.
    if (node.modifiedIndex < this.#expirations.indexOf(node.path)) return;
    this.#expirations.set(node);
    if (isSelected(node.path, this.#o.selection)) this.#set(node.path, node);
  }

  #set(path: Buffer, node: TreeNode | undefined): void {
    this.#files.set(path.toString('latin1'), { path, node });
  }

  #remove({ path, dir }: TreeNode): void {
    if (!dir) {
      this.#expirations.delete(path);
      if (isSelected(path, this.#o.selection)) this.#set(path, undefined);
      return;
    }
    this.#expirations.deleteUnder(path);
    for (const [name, file] of this.#files) if (isUnder(file.path, path)) this.#files.delete(name);
    // Under a mapping with rules, keys of other directories may have come to lie among those of this one.
    if (this.#o.mapping.pieces > 1) this.#mustReread = true;
    else this.#directories.push(path);
  }

  /** A directory was made, perhaps in the place of a file; or its TTL was changed, and with it that of all under it. */
  #directory({ node, replacesFile, action }: V2Event): void {
    if (replacesFile) this.#remove({ ...node, dir: false });
    const isOld = action === 'update';
    if (isOld && node.expiration !== this.#expirations.of(node.path)) this.#mustReread = true;
    this.#expirations.set(node);
  }

  /** Notes what the API does not tell; true when it is the name. */
  #cannotTell({ node }: V2Event): boolean {
    const example = showKey(node.path);
    if (node.path.includes('\ufffd')) {
      const message = 'nodes left out because their path is not UTF-8, and the v2 API does not tell its bytes';
      this.#o.notes.add('path-not-utf8', message, { lossy: true, example });
      return true;
    }
    if (node.value.includes('\ufffd')) {
      const message = 'values that are not UTF-8: the v2 API gives U+FFFD for each byte that is none (the data dir has them whole)';
      this.#o.notes.add('value-not-utf8', message, { lossy: true, example });
    }
    return false;
  }
}
