import type { PlacedNode } from './v2-walk.js';

const SLASH = 0x2f;
const PREFIXES_COUNTED = 1000;

/** What lies under one name at the top of a tree, and what becomes of it. */
export interface PrefixCounts {
  /** The path of the name: `/registry`. */
  readonly prefix: Buffer;
  readonly nodes: number;
  readonly keys: number;
  /** Bytes of those keys and their values. */
  readonly bytes: number;
  /** Nodes left out: expired, hidden, or an empty directory. */
  readonly leftOut: number;
}

/** A tree in numbers, and the keys it becomes. */
export interface TreeCounts {
  /** Nodes selected, directories and the hidden too; the root is none. */
  readonly nodes: number;
  readonly directories: number;
  readonly hidden: number;
  /** Nodes that have an expiration, their own or that of a directory above. */
  readonly mortal: number;
  readonly expired: number;
  readonly emptyDirectories: number;
  /** Keys made of files and of markers. */
  readonly keys: number;
  readonly markers: number;
  /** Keys with an expiration. */
  readonly mortalKeys: number;
  readonly bytes: number;
  readonly leases: number;
  /** In tree order; those beyond the first thousand are counted under an empty prefix, last. */
  readonly prefixes: readonly PrefixCounts[];
  /** Keys that each `--map` rule renamed, by the rule's place in `KeyMapping.rules`. */
  readonly mapped: readonly number[];
}

type Growing<T> = { -readonly [K in keyof T]: T[K] };

/** Counts the nodes of a tree as they are walked. */
export class TreeCounter {
  readonly counts: Growing<Omit<TreeCounts, 'leases' | 'prefixes' | 'mapped'>> = {
    nodes: 0,
    directories: 0,
    hidden: 0,
    mortal: 0,
    expired: 0,
    emptyDirectories: 0,
    keys: 0,
    markers: 0,
    mortalKeys: 0,
    bytes: 0,
  };
  readonly mapped: number[] = [];
  readonly prefixes: Growing<PrefixCounts>[] = [];
  #current: Growing<PrefixCounts> | undefined;

  node({ node, expiration }: PlacedNode, isHidden: boolean): void {
    const { counts } = this;
    counts.nodes++;
    if (node.dir) counts.directories++;
    if (isHidden) counts.hidden++;
    if (expiration !== 0n) counts.mortal++;
    this.#prefix(node.path).nodes++;
  }

  /** @param bytes of the key and its value */
  key(path: Buffer, bytes: number): void {
    this.counts.keys++;
    this.counts.bytes += bytes;
    const prefix = this.#prefix(path);
    prefix.keys++;
    prefix.bytes += bytes;
  }

  leftOut(path: Buffer): void {
    this.#prefix(path).leftOut++;
  }

  /** Paths come in tree order, so all under one name come one after the other. */
  #prefix(path: Buffer): Growing<PrefixCounts> {
    const current = this.#current;
    if (current !== undefined && isAtOrUnder(path, current.prefix)) return current;
    const end = path.indexOf(SLASH, 1);
    const isLast = this.prefixes.length >= PREFIXES_COUNTED;
    const prefix = isLast ? Buffer.alloc(0) : Buffer.from(end < 0 ? path : path.subarray(0, end));
    const known = isLast ? this.prefixes.find((each) => each.prefix.length === 0) : undefined;
    const entry = known ?? { prefix, nodes: 0, keys: 0, bytes: 0, leftOut: 0 };
    if (known === undefined) this.prefixes.push(entry);
    this.#current = entry;
    return entry;
  }
}

function isAtOrUnder(path: Buffer, prefix: Buffer): boolean {
  if (prefix.length === 0) return true;
  if (path.length > prefix.length && path[prefix.length] !== SLASH) return false;
  return path.length >= prefix.length && path.compare(prefix, 0, prefix.length, 0, prefix.length) === 0;
}
