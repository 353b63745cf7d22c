import { hasVanished, type Lease } from '../model/lease.js';

/**
 * What becomes of a lease in the target. `granted`: granted again with the TTL it was granted with.
 * `remaining`: with what remained when it was seen. `deadline`: it ends when it would have ended in
 * the source. `drop`: its keys are written without a lease.
 */
export type LeaseTtlRule = 'granted' | 'remaining' | 'deadline' | 'drop';

export const LEASE_TTL_RULES: readonly LeaseTtlRule[] = ['granted', 'remaining', 'deadline', 'drop'];

/**
 * What a rule makes of one lease. `none`: the keys go without. `unknown`: so they do, since nothing is
 * told of the lease. `vanished`: the lease was gone when the source was read, so its keys were about to
 * go too. `past`: its deadline has passed.
 */
export type TtlWish = { readonly kind: 'lease'; readonly ttl: bigint } | { readonly kind: 'none' | 'unknown' | 'vanished' | 'past' };

/** Longest TTL etcd grants, in seconds (etcd server/lease/lessor.go, MaxLeaseTTL). */
const MAX_TTL = 9_000_000_000n;

/**
 * The TTL to grant a lease with.
 *
 * A lease that had vanished by the time it was looked up has no TTL to go by, and a permanent key
 * is the one thing its keys must not become; under `deadline` it counts as past.
 *
 * @param lease undefined where the source does not tell of it, which is not to say that it is gone
 * @param now milliseconds since the Unix epoch
 * @returns a TTL in seconds, rounded up, at least 1
 */
export function ttlWish(lease: Lease | undefined, rule: LeaseTtlRule, now: number): TtlWish {
  if (rule === 'drop') return { kind: 'none' };
  if (lease === undefined) return { kind: 'unknown' };
  if (hasVanished(lease)) return { kind: rule === 'deadline' ? 'past' : 'vanished' };
  switch (rule) {
    case 'granted':
      return atLeastOne(lease.grantedTtl > 0n ? lease.grantedTtl : lease.remainingTtl);
    case 'remaining':
      return atLeastOne(lease.remainingTtl);
    case 'deadline': {
      const left = lease.remainingTtl * 1000n - BigInt(Math.trunc(now - lease.seenAt));
      return left <= 0n ? { kind: 'past' } : atLeastOne((left + 999n) / 1000n);
    }
  }
}

function atLeastOne(ttl: bigint): TtlWish {
  return { kind: 'lease', ttl: ttl < 1n ? 1n : ttl > MAX_TTL ? MAX_TTL : ttl };
}
