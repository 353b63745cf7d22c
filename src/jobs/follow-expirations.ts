import { type RecordBatch, recordAt } from '../model/batch.js';
import type { TreeNode } from '../model/node.js';
import { isUnder } from '../model/tree-path.js';
import { decodeNode } from '../wire/node.js';

const MILLISECOND = 1_000_000n;
/** When a node is first looked at before its end, and how far apart looks are at least, in milliseconds. */
const FIRST_LOOK = 5_000;
const NEXT_LOOK = 500;
/** So long after its end a node that was not told to be gone is no longer looked at. */
const LAST_LOOK = 30_000;

interface Mortal {
  readonly path: Buffer;
  readonly dir: boolean;
  readonly expiration: bigint;
  /** The source's index of its last change that is known. */
  readonly index: bigint;
  /** When to look at it, in milliseconds since the Unix epoch. */
  lookAt: number;
}

/**
 * What is known of a tree's expirations: those of directories, which what is under them inherits; and
 * when to look at a node again, since a TTL that is refreshed (`refresh=true`) is told to no watcher
 * (etcd api/v2store/store.go, Update). Memory is held for nodes with a TTL alone.
 */
export class Expirations {
  /** By path, as latin1. */
  readonly #mortals = new Map<string, Mortal>();
  readonly #dirs = new Map<string, Mortal>();

  clear(): void {
    this.#mortals.clear();
    this.#dirs.clear();
  }

  /** Takes note of a tree's nodes as they are read. */
  see(batch: RecordBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const node = decodeNode(recordAt(batch, i));
      if (node.expiration !== 0n) this.set(node);
    }
  }

  /** Takes note of a node's expiration, or that it has none. */
  set({ path, dir, expiration, modifiedIndex }: TreeNode): void {
    const name = path.toString('latin1');
    this.delete(path);
    if (expiration === 0n) return;
    const lookAt = endOf(expiration) - FIRST_LOOK;
    const mortal = { path: Buffer.from(path), dir, expiration, index: modifiedIndex, lookAt };
    this.#mortals.set(name, mortal);
    if (dir) this.#dirs.set(name, mortal);
  }

  delete(path: Buffer): void {
    const name = path.toString('latin1');
    this.#mortals.delete(name);
    this.#dirs.delete(name);
  }

  deleteUnder(directory: Buffer): void {
    this.delete(directory);
    for (const { path } of [...this.#mortals.values()]) if (isUnder(path, directory)) this.delete(path);
  }

  /** A node's expiration, in nanoseconds; 0n when it has none. */
  of(path: Buffer): bigint {
    return this.#mortals.get(path.toString('latin1'))?.expiration ?? 0n;
  }

  /** The source's index of the last change of a node with a TTL; 0n where none is known. */
  indexOf(path: Buffer): bigint {
    return this.#mortals.get(path.toString('latin1'))?.index ?? 0n;
  }

  /** The directories with a TTL above a path, as nodes. */
  above(path: Buffer): TreeNode[] {
    if (this.#dirs.size === 0) return [];
    const found: TreeNode[] = [];
    for (let slash = path.indexOf('/', 1); slash !== -1; slash = path.indexOf('/', slash + 1)) {
      const dir = this.#dirs.get(path.toString('latin1', 0, slash));
      if (dir === undefined) continue;
      const { expiration, index } = dir;
      found.push({ path: dir.path, dir: true, value: Buffer.alloc(0), createdIndex: index, modifiedIndex: index, expiration });
    }
    return found;
  }

  /** How many nodes have a TTL. */
  get count(): number {
    return this.#mortals.size;
  }

  /** The paths of all nodes with a TTL. */
  paths(): TreeNode['path'][] {
    return [...this.#mortals.values()].map(({ path }) => path);
  }

  /**
   * Nodes that end soon, or should have ended, unless their TTL was refreshed; the closer to the end,
   * the more often.
   *
   * @param now milliseconds since the Unix epoch
   */
  dueForALook(now: number): TreeNode['path'][] {
    const due: Buffer[] = [];
    for (const mortal of this.#mortals.values()) {
      const left = endOf(mortal.expiration) - now;
      if (mortal.lookAt > now || left < -LAST_LOOK) continue;
      mortal.lookAt = now + Math.max(NEXT_LOOK, left / 2);
      due.push(mortal.path);
    }
    return due;
  }
}

function endOf(expiration: bigint): number {
  return Number(expiration / MILLISECOND);
}
