import type { TreeNode } from '../model/node.js';
import { decodeNode, encodeNode } from '../wire/node.js';

/** What is to be done in the target for one node of the source. */
export type ActionKind = 'create' | 'swap value' | 'set directory ttl' | 'file to directory' | 'directory to file';

const KINDS: readonly ActionKind[] = ['create', 'swap value', 'set directory ttl', 'file to directory', 'directory to file'];
const HEAD = 17;

export interface Action {
  readonly kind: ActionKind;
  /** The modifiedIndex of the target's node when it was compared; it must still be so. */
  readonly targetIndex: bigint;
  /** The node to be, by its path in the target. */
  readonly node: TreeNode;
  /** When it ends by itself or with a directory above it, in nanoseconds since the Unix epoch; 0n for never. */
  readonly ends: bigint;
}

export function encodeAction({ kind, targetIndex, node, ends }: Action): Buffer {
  const head = Buffer.alloc(HEAD);
  head[0] = KINDS.indexOf(kind);
  head.writeBigUInt64LE(targetIndex, 1);
  head.writeBigInt64LE(ends, 9);
  return Buffer.concat([head, encodeNode(node)]);
}

export function decodeAction(bytes: Buffer): Action {
  const kind = KINDS[bytes[0] as number] as ActionKind;
  return { kind, targetIndex: bytes.readBigUInt64LE(1), ends: bytes.readBigInt64LE(9), node: decodeNode(bytes, HEAD) };
}
