import { ExpiryHeap } from './expiry-heap.js';
import { tooLarge } from './raft-log.js';
import { eachBelow, newNode, nodeCost, type V2Node } from './v2-node.js';
import { namesOf } from './v2-path.js';

/** 2000-01-01T00:00:00Z: what is created to expire before it is made permanent (store.go, minExpireTime). */
const MIN_EXPIRATION = 946_684_800_000_000_000n;

/** Directories that cannot be changed themselves: the root and etcd's two namespaces. */
const READ_ONLY: ReadonlySet<string> = new Set(['', '0', '1']);

export interface WriteOptions {
  /** Nanoseconds since the Unix epoch; 0n for none. */
  readonly expiration: bigint;
  /** Keep the value that is there. */
  readonly refresh: boolean;
}

export interface CreateOptions {
  readonly expiration: bigint;
  readonly dir: boolean;
  /** A file that is there may be replaced. */
  readonly replace: boolean;
}

/**
 * etcd's v2 store (server/etcdserver/api/v2store/store.go): a tree of nodes and an index that every
 * successful change takes on by one. Paths are latin-1 strings, a character per byte. What etcd
 * answers with an error changes nothing here and returns false.
 */
export class V2Store {
  readonly root: V2Node;
  index = 0n;
  readonly #expiring = new ExpiryHeap();
  readonly #maxMemory: number;
  #memory = 0;

  /** @param maxMemory most bytes of memory the tree may take, as reckoned by `memory` */
  constructor(maxMemory: number, root: V2Node = newNode('', undefined, 0n, true)) {
    this.#maxMemory = maxMemory;
    this.root = root;
    eachBelow(root, (node) => {
      this.#memory += nodeCost(node);
      if (node.expiration !== 0n) this.#expiring.push(node);
    });
    for (const namespace of root.children?.size === 0 ? ['0', '1'] : []) this.#add(newNode(namespace, root, 0n, true));
  }

  /** Bytes of memory the tree takes, about. */
  get memory(): number {
    return this.#memory;
  }

  /** The node at a path. */
  get(path: string): V2Node | undefined {
    return this.#find(namesOf(path));
  }

  /** POST: makes a node under `path`, named after the index it gets. */
  createUnique(path: string, value: Buffer, options: CreateOptions & { readonly padded: boolean }): boolean {
    const number = (this.index + 1n).toString();
    return this.create(`${path}/${options.padded ? number.padStart(20, '0') : number}`, value, options);
  }

  /** Makes a node, and the directories it needs. A node replaced loses its created index too. */
  create(path: string, value: Buffer, options: CreateOptions): boolean {
    const names = namesOf(path);
    if (isReadOnly(names)) return false;
    const name = names.pop() as string;
    const parent = this.#makeDirectories(names);
    const there = parent?.children?.get(name);
    if (parent === undefined || (there !== undefined && (!options.replace || there.children !== undefined))) return false;
    if (there !== undefined) this.#remove(there);
    this.index++;
    const node = newNode(name, parent, this.index, options.dir);
    if (!options.dir) node.value = Buffer.from(value);
    this.#add(node);
    this.#expire(node, options.expiration < MIN_EXPIRATION ? 0n : options.expiration);
    return true;
  }

  /** Makes or replaces a node; with `refresh` it must be there and keeps its value. */
  set(path: string, value: Buffer, dir: boolean, options: WriteOptions): boolean {
    const { expiration, refresh } = options;
    const kept = refresh ? this.get(path) : undefined;
    if (refresh && kept === undefined) return false;
    if (!this.create(path, kept?.value ?? value, { expiration, dir, replace: true })) return false;
    const made = kept && this.get(path);
    if (made !== undefined && kept !== undefined) made.damage = kept.damage;
    return true;
  }

  /**
   * Changes a node that is there. Of a directory only the expiration changes, and only before 3.5:
   * since then it is refused.
   */
  update(path: string, value: Buffer, options: WriteOptions & { readonly refuseDirectories: boolean }): boolean {
    const names = namesOf(path);
    const node = isReadOnly(names) ? undefined : this.#find(names);
    if (node === undefined) return false;
    if (node.children !== undefined && (value.length > 0 || options.refuseDirectories)) return false;
    this.index++;
    if (node.children === undefined) this.#write(node, options.refresh ? node.value : value);
    this.#expire(node, options.expiration);
    return true;
  }

  /** Changes a file if index and value are those expected (0n and an empty value match any). */
  compareAndSwap(path: string, prevValue: Buffer, prevIndex: bigint, value: Buffer, options: WriteOptions): boolean {
    const names = namesOf(path);
    const node = isReadOnly(names) ? undefined : this.#find(names);
    if (node === undefined || !isExpected(node, prevValue, prevIndex)) return false;
    this.index++;
    this.#write(node, options.refresh ? node.value : value);
    this.#expire(node, options.expiration);
    return true;
  }

  /** Deletes a file if index and value are those expected (0n and an empty value match any). */
  compareAndDelete(path: string, prevValue: Buffer, prevIndex: bigint): boolean {
    const node = this.get(path);
    if (node === undefined || !isExpected(node, prevValue, prevIndex)) return false;
    this.index++;
    this.#remove(node);
    return true;
  }

  /** Deletes a node; a directory only when told to, and one that is not empty only with `recursive`. */
  delete(path: string, options: { readonly dir: boolean; readonly recursive: boolean }): boolean {
    const names = namesOf(path);
    const node = isReadOnly(names) ? undefined : this.#find(names);
    if (node === undefined) return false;
    if (node.children !== undefined) {
      if (!options.dir && !options.recursive) return false;
      if (node.children.size > 0 && !options.recursive) return false;
    }
    this.#remove(node);
    this.index++;
    return true;
  }

  /** SYNC: removes what expires up to `time` (nanoseconds since the Unix epoch); an index for each node taken. */
  expire(time: bigint): void {
    for (let node = this.#expiring.top; node !== undefined && node.expiration <= time; node = this.#expiring.top) {
      this.index++;
      this.#remove(node);
    }
  }

  #find(names: readonly string[]): V2Node | undefined {
    let node: V2Node | undefined = this.root;
    for (const name of names) {
      node = node.children?.get(name);
      if (node === undefined) return undefined;
    }
    return node;
  }

  /** The directory at a path, made if need be; undefined when a file is in the way. */
  #makeDirectories(names: readonly string[]): V2Node | undefined {
    let node = this.root;
    for (const name of names) {
      let child = node.children?.get(name);
      if (child === undefined) {
        child = newNode(name, node, this.index + 1n, true);
        this.#add(child);
      }
      if (child.children === undefined) return undefined;
      node = child;
    }
    return node;
  }

  #add(node: V2Node): void {
    node.parent?.children?.set(node.name, node);
    this.#grow(nodeCost(node));
  }

  #write(node: V2Node, value: Buffer): void {
    const before = node.value.length;
    if (node.value !== value) {
      node.value = Buffer.from(value);
      node.damage = 'none';
    }
    node.modifiedIndex = this.index;
    this.#grow(value.length - before);
  }

  #expire(node: V2Node, expiration: bigint): void {
    this.#expiring.remove(node);
    node.expiration = expiration;
    if (expiration !== 0n) this.#expiring.push(node);
  }

  #remove(top: V2Node): void {
    top.parent?.children?.delete(top.name);
    eachBelow(top, (node) => {
      this.#expiring.remove(node);
      this.#memory -= nodeCost(node);
    });
  }

  #grow(bytes: number): void {
    this.#memory += bytes;
    if (this.#memory > this.#maxMemory) throw tooLarge(this.#maxMemory);
  }
}

function isReadOnly(names: readonly string[]): boolean {
  return names.length < 2 && READ_ONLY.has(names[0] ?? '');
}

/** True for a file with the index and value expected (node.go, Compare). */
function isExpected(node: V2Node, prevValue: Buffer, prevIndex: bigint): boolean {
  if (node.children !== undefined) return false;
  return (prevIndex === 0n || node.modifiedIndex === prevIndex) && (prevValue.length === 0 || node.value.equals(prevValue));
}
