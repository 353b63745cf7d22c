/** A node of a v2 tree: a directory, or a file with a value. */
export interface TreeNode {
  /** Absolute path in the user's namespace, `/` first, no `/` last; the root itself is `/`. */
  readonly path: Buffer;
  readonly dir: boolean;
  /** Empty for a directory. */
  readonly value: Buffer;
  readonly createdIndex: bigint;
  readonly modifiedIndex: bigint;
  /** Absolute expiration in nanoseconds since the Unix epoch; 0n when permanent. */
  readonly expiration: bigint;
}
