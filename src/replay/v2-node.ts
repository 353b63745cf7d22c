import type { Damage } from './json-scanner.js';

/** A node of the v2 store. Changed in place by the store alone. */
export interface V2Node {
  /** Last part of the path, as latin-1: a character per byte. */
  name: string;
  parent: V2Node | undefined;
  createdIndex: bigint;
  modifiedIndex: bigint;
  /** Nanoseconds since the Unix epoch; 0n when permanent. */
  expiration: bigint;
  /** Empty for a directory. */
  value: Buffer;
  /** Undefined for a file. */
  children: Map<string, V2Node> | undefined;
  /** Place in the heap of nodes that expire; -1 when not there. */
  heapAt: number;
  /** What a `.snap` file did to the value or the name. */
  damage: Damage;
}

const NO_VALUE: Buffer = Buffer.alloc(0);

/** What a node costs beside its name and value, in bytes: 270 when measured over 100,000, and what the collector leaves lying. */
const NODE_OVERHEAD = 512;

export function newNode(name: string, parent: V2Node | undefined, index: bigint, dir: boolean): V2Node {
  return {
    name,
    parent,
    createdIndex: index,
    modifiedIndex: index,
    expiration: 0n,
    value: NO_VALUE,
    children: dir ? new Map() : undefined,
    heapAt: -1,
    damage: 'none',
  };
}

/** Bytes of memory to reckon for a node by itself. */
export function nodeCost(node: V2Node): number {
  return NODE_OVERHEAD + node.name.length + node.value.length;
}

/** Visits a node and all below it, parents first, siblings in no order. Safe at any depth. */
export function eachBelow(top: V2Node, visit: (node: V2Node) => void): void {
  const stack = [top];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    visit(node);
    for (const child of node.children?.values() ?? []) stack.push(child);
  }
}

/** The path of a node below `top`, from there on, as latin-1. */
export function pathBelow(top: V2Node, node: V2Node): string {
  const names: string[] = [];
  for (let at: V2Node | undefined = node; at !== undefined && at !== top; at = at.parent) names.push(at.name);
  return `/${names.reverse().join('/')}`;
}
