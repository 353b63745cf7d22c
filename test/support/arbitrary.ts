import fc from 'fast-check';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { TreeNode } from '../../src/model/node.js';

export const bytes = (constraints: fc.IntArrayConstraints = {}): fc.Arbitrary<Buffer> =>
  fc.uint8Array(constraints).map((array) => Buffer.from(array));

export const int64: fc.Arbitrary<bigint> = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
export const uint64: fc.Arbitrary<bigint> = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

/** Any `mvccpb.KeyValue`, likely and unlikely ones. */
export const keyValue: fc.Arbitrary<KeyValue> = fc.record({
  key: bytes({ maxLength: 40 }),
  value: bytes({ maxLength: 200 }),
  createRevision: int64,
  modRevision: int64,
  version: int64,
  lease: int64,
});

/** Any v2 node. */
export const treeNode: fc.Arbitrary<TreeNode> = fc.record({
  path: bytes({ maxLength: 40 }),
  dir: fc.boolean(),
  value: bytes({ maxLength: 200 }),
  createdIndex: uint64,
  modifiedIndex: uint64,
  expiration: int64,
});
