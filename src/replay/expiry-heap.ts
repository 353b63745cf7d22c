import type { V2Node } from './v2-node.js';

/**
 * The nodes that expire, soonest first. The same binary heap as Go's container/heap, step for step:
 * among nodes that expire in the same nanosecond etcd's order is the heap's, and how many indices
 * an expiry takes depends on it (server/etcdserver/api/v2store/ttl_key_heap.go).
 */
export class ExpiryHeap {
  readonly #nodes: V2Node[] = [];

  get top(): V2Node | undefined {
    return this.#nodes[0];
  }

  push(node: V2Node): void {
    node.heapAt = this.#nodes.length;
    this.#nodes.push(node);
    this.#up(node.heapAt);
  }

  /** Does nothing for a node that is not there. */
  remove(node: V2Node): void {
    const at = node.heapAt;
    if (at < 0) return;
    const last = this.#nodes.length - 1;
    if (at !== last) {
      this.#swap(at, last);
      if (!this.#down(at, last)) this.#up(at);
    }
    this.#nodes.pop();
    node.heapAt = -1;
  }

  #up(from: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#less(at, parent)) return;
      this.#swap(at, parent);
      at = parent;
    }
  }

  #down(from: number, length: number): boolean {
    let at = from;
    for (;;) {
      const left = 2 * at + 1;
      if (left >= length) break;
      const child = left + 1 < length && this.#less(left + 1, left) ? left + 1 : left;
      if (!this.#less(child, at)) break;
      this.#swap(at, child);
      at = child;
    }
    return at > from;
  }

  #less(a: number, b: number): boolean {
    return (this.#nodes[a] as V2Node).expiration < (this.#nodes[b] as V2Node).expiration;
  }

  #swap(a: number, b: number): void {
    const [nodeA, nodeB] = [this.#nodes[a] as V2Node, this.#nodes[b] as V2Node];
    this.#nodes[a] = nodeB;
    this.#nodes[b] = nodeA;
    nodeB.heapAt = a;
    nodeA.heapAt = b;
  }
}
