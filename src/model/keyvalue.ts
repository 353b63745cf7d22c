/** The fields of etcd's `mvccpb.KeyValue` (api/mvccpb/kv.proto). */
export interface KeyValue {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly version: bigint;
  /** Lease id, 0n for none. */
  readonly lease: bigint;
}
