import type { KeyRange } from '../wire/raft-v3.js';

/** A range of keys as latin-1 strings, a character per byte; an empty string is past all keys, at either end. */
interface Interval {
  readonly begin: string;
  readonly end: string;
}

interface Node extends Interval {
  /** The furthest end below this node, or its own. */
  max: string;
  left: Node | undefined;
  right: Node | undefined;
  parent: Node | undefined;
  red: boolean;
}

/**
 * The permissions to read or to write that one user has, as etcd keeps them: a red-black tree of intervals
 * (etcd pkg/adt/interval_tree.go; the tree is that of Cormen et al., "Introduction to Algorithms", 13.3 and 14.3).
 * Early releases take ranges that end before they begin, from users and into permissions. What such a tree says
 * depends on its shape, so that it is built as etcd builds it.
 */
export class PermissionTree {
  #root: Node | undefined;

  /** Adds a permission, in etcd's order: by role, then as they stand in it. */
  add(range: KeyRange): void {
    const { begin, end } = intervalOf(range);
    const node: Node = { begin, end, max: end, left: undefined, right: undefined, parent: undefined, red: true };
    let parent: Node | undefined;
    for (let at = this.#root; at !== undefined; at = compare(begin, at.begin) < 0 ? at.left : at.right) parent = at;
    node.parent = parent;
    if (parent === undefined) this.#root = node;
    else {
      if (compare(begin, parent.begin) < 0) parent.left = node;
      else parent.right = node;
      updateMax(parent);
    }
    this.#balance(node);
  }

  /** Whether a request for these keys is permitted. */
  permits(range: KeyRange): boolean {
    return range.end === undefined ? this.#intersects(intervalOf(range)) : this.#contains(intervalOf(range));
  }

  #intersects(interval: Interval): boolean {
    let at = this.#root;
    while (at !== undefined && side(interval, at) !== 0) {
      at = at.left !== undefined && compare(at.left.max, interval.begin) > 0 ? at.left : at.right;
    }
    return at !== undefined;
  }

  /** True where intervals that touch or overlap reach from the range's begin to its end. */
  #contains(range: Interval): boolean {
    let first: string | undefined;
    let reached = '';
    const whole = visit(this.#root, range, ({ begin, end }) => {
      if (first === undefined) [first, reached] = [begin, end];
      else if (compare(reached, begin) < 0) return false;
      else if (compare(end, reached) > 0) reached = end;
      return true;
    });
    return whole && first !== undefined && compare(reached, range.end) >= 0 && compare(first, range.begin) <= 0;
  }

  #balance(added: Node): void {
    let node = added;
    for (let parent = node.parent; parent?.red === true; parent = node.parent) {
      // A red node is never the root.
      const above = parent.parent as Node;
      const isLeft = parent === above.left;
      const uncle = isLeft ? above.right : above.left;
      if (uncle?.red === true) {
        [uncle.red, parent.red, above.red] = [false, false, true];
        node = above;
        continue;
      }
      if (node === (isLeft ? parent.right : parent.left)) {
        node = parent;
        this.#rotate(node, isLeft ? 'left' : 'right');
        parent = node.parent as Node;
      }
      [parent.red, above.red] = [false, true];
      this.#rotate(above, isLeft ? 'right' : 'left');
    }
    (this.#root as Node).red = false;
  }

  /** Puts the child of the other side in a node's place, and the node below it. */
  #rotate(node: Node, to: 'left' | 'right'): void {
    const from = to === 'left' ? 'right' : 'left';
    const child = node[from] as Node;
    const inner = child[to];
    node[from] = inner;
    if (inner !== undefined) inner.parent = node;
    updateMax(node);
    this.#replace(node, child);
    child[to] = node;
    updateMax(child);
  }

  #replace(node: Node, child: Node): void {
    const { parent } = node;
    child.parent = parent;
    if (parent === undefined) this.#root = child;
    else {
      if (node === parent.left) parent.left = child;
      else parent.right = child;
      updateMax(parent);
    }
    node.parent = child;
  }
}

/** A key alone reaches to the key that follows it. */
function intervalOf({ key, end }: KeyRange): Interval {
  const begin = key.toString('latin1');
  return { begin, end: end === undefined ? `${begin}\0` : end.toString('latin1') };
}

function compare(a: string, b: string): number {
  if (a === b) return 0;
  if (a === '') return 1;
  if (b === '') return -1;
  return a < b ? -1 : 1;
}

/** Negative where an interval lies before another, positive after it, 0 where they overlap. */
function side(interval: Interval, other: Interval): number {
  if (compare(interval.begin, other.begin) < 0 && compare(interval.end, other.begin) <= 0) return -1;
  return compare(interval.begin, other.end) >= 0 ? 1 : 0;
}

/** Calls `take` for the nodes that overlap an interval, in order, until it returns false. @returns false when it did */
function visit(node: Node | undefined, interval: Interval, take: (node: Node) => boolean): boolean {
  if (node === undefined) return true;
  const where = side(interval, node);
  if (where < 0) return visit(node.left, interval, take);
  if (where > 0 && side({ begin: node.begin, end: node.max }, interval) !== 0) return true;
  return visit(node.left, interval, take) && (where > 0 || take(node)) && visit(node.right, interval, take);
}

function updateMax(from: Node): void {
  for (let node: Node | undefined = from; node !== undefined; node = node.parent) {
    let max = node.end;
    if (node.left !== undefined && compare(node.left.max, max) > 0) max = node.left.max;
    if (node.right !== undefined && compare(node.right.max, max) > 0) max = node.right.max;
    if (max === node.max) return;
    node.max = max;
  }
}
