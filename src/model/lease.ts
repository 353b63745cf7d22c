/** A lease (or, from v2, an expiration that becomes one) as it was seen in the source. */
export interface Lease {
  /** etcd's lease id, an int64; never 0. */
  readonly id: bigint;
  /** TTL it was granted with, in seconds. 0 when unknown (a vanished lease). */
  readonly grantedTtl: bigint;
  /** TTL that remained when it was seen, in seconds; -1 when it had vanished by then. */
  readonly remainingTtl: bigint;
  /** When it was seen, in milliseconds since the Unix epoch. */
  readonly seenAt: number;
  /** `lease`: a v3 lease. `expiration`: computed from a v2 node's expiration. */
  readonly origin: 'lease' | 'expiration';
}

/** True when the lease was referred to by keys but no longer there when it was looked up. */
export function hasVanished(lease: Lease): boolean {
  return lease.remainingTtl < 0n;
}
