import type { Lease } from '../model/lease.js';

const SECOND = 1_000_000_000n;
const MILLISECOND = 1_000_000n;
/** "v2" in ASCII, then six bytes of seconds: positive, and told at sight in `etcdctl lease list`. */
const LEASE_ID_BASE = 0x7632_0000_0000_0000n;
const LAST_SECOND = 0xffff_ffff_ffffn;
/** "va", for a lease that was attached: its TTL in seconds follows. */
const ATTACHED_ID_BASE = 0x7661_0000_0000_0000n;

/**
 * The second by which a node is gone: its expiration, rounded up.
 *
 * @param expiration nanoseconds since the Unix epoch, not 0n
 * @param granularity rounds up to a multiple of so many seconds
 * @returns seconds since the Unix epoch
 */
export function expirationSecond(expiration: bigint, granularity = 1n): bigint {
  const unit = SECOND * granularity;
  const second = ((expiration + unit - 1n) / unit) * granularity;
  return second < 0n ? 0n : second > LAST_SECOND ? LAST_SECOND : second;
}

/**
 * The id of the lease for keys that expire at `second`. It follows from the expiration alone, so
 * that a second run finds the lease the first one granted.
 */
export function leaseIdOf(second: bigint): bigint {
  return LEASE_ID_BASE | second;
}

/** The second whose lease an id names; undefined for an id that `leaseIdOf` did not give. */
export function secondOfLease(id: bigint): bigint | undefined {
  return isExpirationLease(id) ? id - LEASE_ID_BASE : undefined;
}

/** True for an id that `leaseIdOf` gave. */
export function isExpirationLease(id: bigint): boolean {
  return id >= LEASE_ID_BASE && id <= LEASE_ID_BASE + LAST_SECOND;
}

/**
 * The lease for keys that expire at `second`, as if seen less than a second ago. Its TTL was never
 * granted by a v3 server: what remains stands for it.
 *
 * @param deadline when it is to end, in nanoseconds since the Unix epoch: no later than `second`
 * @param now milliseconds since the Unix epoch
 */
export function leaseFor(second: bigint, deadline: bigint, now: number): Lease {
  const end = Number((deadline + MILLISECOND - 1n) / MILLISECOND);
  const left = Math.max(1, Math.ceil((end - now) / 1000));
  const ttl = BigInt(left);
  return { id: leaseIdOf(second), grantedTtl: ttl, remainingTtl: ttl, seenAt: Math.min(now, end - left * 1000), origin: 'expiration' };
}

/**
 * The one lease of `ttl` seconds that stands for every expiration. Its id follows from its TTL, so
 * that a second run finds it.
 *
 * @param now milliseconds since the Unix epoch
 */
export function attachedLease(ttl: bigint, now: number): Lease {
  return { id: ATTACHED_ID_BASE | ttl, grantedTtl: ttl, remainingTtl: ttl, seenAt: now, origin: 'lease' };
}
