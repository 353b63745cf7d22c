import { type RecordBatch, recordAt } from '../model/batch.js';
import type { TreeNode } from '../model/node.js';
import { isUnder } from '../model/tree-path.js';
import { decodeNode } from '../wire/node.js';
import { earlierEnd } from './v2-select.js';

/** A node of a tree, with what follows from where it stands. */
export interface PlacedNode {
  readonly node: TreeNode;
  /** Earliest expiration of the node and the directories above it, in nanoseconds; 0n when permanent. */
  readonly expiration: bigint;
  /** Paths of the directories above it that have a TTL, from the root down. */
  readonly mortalAbove: readonly Buffer[];
  /** A directory with no node under it. */
  readonly isEmptyDirectory: boolean;
}

interface Above {
  readonly path: Buffer;
  readonly expiration: bigint;
}

/**
 * Walks a tree in tree order, one batch of nodes at a time. Directories with a TTL take what is
 * under them along when they expire (etcd store/node.go, Remove), so it is inherited.
 */
export async function* walkNodes(batches: AsyncIterable<RecordBatch>): AsyncGenerator<PlacedNode[]> {
  const above: Above[] = [];
  let waiting: TreeNode | undefined;
  const place = (node: TreeNode, next: TreeNode | undefined): PlacedNode => {
    while (above.length > 0 && !isUnder(node.path, (above.at(-1) as Above).path)) above.pop();
    const expiration = earlierEnd(node.expiration, above.at(-1)?.expiration ?? 0n);
    const mortalAbove = above.map(({ path }) => path);
    if (node.dir && node.expiration !== 0n) above.push({ path: node.path, expiration });
    return { node, expiration, mortalAbove, isEmptyDirectory: node.dir && (next === undefined || !isUnder(next.path, node.path)) };
  };
  for await (const batch of batches) {
    const placed: PlacedNode[] = [];
    for (let i = 0; i < batch.count; i++) {
      const node = decodeNode(recordAt(batch, i));
      // The root is always there.
      if (node.path.length <= 1) continue;
      if (waiting !== undefined) placed.push(place(waiting, node));
      waiting = node;
    }
    if (placed.length > 0) yield placed;
  }
  if (waiting !== undefined) yield [place(waiting, undefined)];
}
